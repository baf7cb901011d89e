"""The format of recorded completions: writes and parses the rows of a recording.

One JSON object per line:

    {"messages": [{"role", "content"}, …],     the request, as in seqit.llm.request
     "seed": 123,                              the attempt's seed
     "structured": true,                       only if the request had a JSON Schema
     "record_id", "iteration", "stage",        where the request came from
     "completion": {"text", "finish_reason", "prompt_tokens", "completion_tokens", "model",
                    "logprobs"}}

Only `messages` and `completion.text` are required. Also accepted are rows with `text` (and
optionally `finish_reason`) instead of the completion, and rows with one user message as `prompt`
or `full_prompt` and its answer as `response` or `full_response`.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import orjson
from xxhash import xxh3_128_digest

from seqit.errors import RowError
from seqit.llm.request import Completion, Message, Request
from seqit.records.validation import describe

_PLAIN_COLUMNS = (("full_prompt", "full_response"), ("prompt", "response"))
_COMPLETION_TYPES = {
    "finish_reason": str,
    "prompt_tokens": int,
    "completion_tokens": int,
    "model": str,
    "logprobs": list,
}


class RecordedCompletion(NamedTuple):
    """One recorded completion with its request."""

    messages: list[Message]
    completion: Completion
    seed: int | None  # None if not recorded
    structured: bool


def recording_row(request: Request, completion: Completion) -> dict[str, Any]:
    """Return the row that records a completion; the inverse of `parse_recording_row`."""
    row: dict[str, Any] = {"messages": request.messages, "seed": request.seed}
    if request.schema is not None:
        row["structured"] = True
    row |= {name: getattr(request, name) for name in ("record_id", "iteration", "stage")}
    answer = asdict(completion)
    if not completion.logprobs:
        del answer["logprobs"]
    return row | {"completion": answer}


def parse_recording_row(row: Any) -> RecordedCompletion:
    """Parse one row of a recording; raises RowError if it is not valid."""
    if not isinstance(row, dict):
        raise RowError(f"expected an object, found {describe(row)}")
    for prompt, response in _PLAIN_COLUMNS:
        if prompt in row and response in row:
            messages: list[Message] = [{"role": "user", "content": _text(row, prompt)}]
            return RecordedCompletion(
                messages, Completion(_text(row, response), "stop"), None, False
            )
    if "messages" not in row:
        known = " or ".join(f"{prompt} and {response}" for prompt, response in _PLAIN_COLUMNS)
        raise RowError(f"the row has neither messages nor {known}: it is not a recording")
    seed = row.get("seed")
    return RecordedCompletion(
        _messages(row["messages"]),
        _completion(row.get("completion", row)),
        seed if isinstance(seed, int) else None,
        row.get("structured") is True,
    )


def messages_key(messages: list[Message], seed: int | None = None) -> bytes:
    """Return a hash of 16 bytes over the roles and contents, and the seed if one is given."""
    turns = [[turn["role"], turn["content"]] for turn in messages]
    return xxh3_128_digest(orjson.dumps([turns, seed], option=orjson.OPT_SORT_KEYS))


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise RowError(f"expected a list of turns, found {describe(value)}", "messages")
    for number, turn in enumerate(value):
        content = turn.get("content") if isinstance(turn, dict) else None
        if not isinstance(content, str | list) or not isinstance(turn.get("role"), str):
            raise RowError("expected a role and a content", f"messages[{number}]")
    return value


def _completion(value: Any) -> Completion:
    if not isinstance(value, dict):
        raise RowError(f"expected an object, found {describe(value)}", "completion")
    fields: dict[str, Any] = {}
    for name, kind in _COMPLETION_TYPES.items():
        if value.get(name) is not None:
            if not isinstance(value[name], kind):
                raise RowError(f"cannot be {describe(value[name])}", name)
            fields[name] = value[name]
    return Completion(**{"text": _text(value, "text"), "finish_reason": "stop", **fields})


def _text(row: dict[str, Any], name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str):
        found = describe(text) if name in row else "nothing"
        raise RowError(f"expected text, found {found}", name)
    return text
