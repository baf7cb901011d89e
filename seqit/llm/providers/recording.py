"""Recorded completions: the format of a recording, written here and read here alone.

One JSON object a line:

    {"messages": [{"role", "content"}, …],     what was asked, as in seqit.llm.request
     "seed": 123,                              the attempt's own seed
     "structured": true,                       only where a JSON Schema went with the request
     "record_id", "iteration", "stage",        who asked
     "completion": {"text", "finish_reason", "prompt_tokens", "completion_tokens", "model",
                    "logprobs"}}

Read are also rows without all but `messages` and `completion.text`, rows with a `text` (and
perhaps a `finish_reason`) in place of the completion, and rows that hold one user message as
`prompt` or `full_prompt` and its answer as `response` or `full_response`.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import orjson
from xxhash import xxh3_128_digest

from seqit.errors import RowError
from seqit.llm.request import Completion, Message, Request
from seqit.records.validation import describe

_PLAIN = (("full_prompt", "full_response"), ("prompt", "response"))
_COMPLETION = {
    "finish_reason": str,
    "prompt_tokens": int,
    "completion_tokens": int,
    "model": str,
    "logprobs": list,
}


class Recorded(NamedTuple):
    """One completion, and what it answered."""

    messages: list[Message]
    completion: Completion
    seed: int | None  # None where the recording does not tell
    structured: bool


def recording(request: Request, completion: Completion) -> dict[str, Any]:
    """Return the row that records a completion; `recorded` reads it."""
    row: dict[str, Any] = {"messages": request.messages, "seed": request.seed}
    if request.schema is not None:
        row["structured"] = True
    row |= {name: getattr(request, name) for name in ("record_id", "iteration", "stage")}
    answer = asdict(completion)
    if not completion.logprobs:
        del answer["logprobs"]
    return row | {"completion": answer}


def recorded(row: Any) -> Recorded:
    """Read one row of a recording; raises RowError where it is none."""
    if not isinstance(row, dict):
        raise RowError(f"expected an object, found {describe(row)}")
    for asked, answered in _PLAIN:
        if asked in row and answered in row:
            messages: list[Message] = [{"role": "user", "content": _text(row, asked)}]
            return Recorded(messages, Completion(_text(row, answered), "stop"), None, False)
    if "messages" not in row:
        known = " or ".join(f"{asked} and {answered}" for asked, answered in _PLAIN)
        raise RowError(f"neither messages nor {known} are there: this is no recording")
    seed = row.get("seed")
    return Recorded(
        _messages(row["messages"]),
        _completion(row.get("completion", row)),
        seed if isinstance(seed, int) else None,
        row.get("structured") is True,
    )


def key_of(messages: list[Message], seed: int | None = None) -> bytes:
    """Return 16 bytes that depend on the roles and contents, and on the seed where one is given."""
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
    given: dict[str, Any] = {}
    for name, kind in _COMPLETION.items():
        if value.get(name) is not None:
            if not isinstance(value[name], kind):
                raise RowError(f"cannot be {describe(value[name])}", name)
            given[name] = value[name]
    return Completion(**{"text": _text(value, "text"), "finish_reason": "stop", **given})


def _text(row: dict[str, Any], name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str):
        found = describe(text) if name in row else "nothing"
        raise RowError(f"expected text, found {found}", name)
    return text
