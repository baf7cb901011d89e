"""Work that asks a model: generators that yield requests and are sent the answers.

A record's whole way, over stages and iterations, is one such generator; the dispatcher runs many
of them side by side. So a stage reads like plain code, and no stage waits for all rows.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeVar

from seqit.errors import SeqitError
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome
from seqit.records.identity import rng_for

T = TypeVar("T")

ModelCall = Generator[Request, RequestOutcome, T]
"""Yields a request, is sent its answer, and returns a T in the end."""

Parser = Callable[[str], T]
"""Reads a completion's text; raises ParseError where it is not what was asked for."""

_NOT_FINISHED = {
    "length": (
        "truncated",
        "the completion was cut off at the limit of new tokens (--max-new-tokens)",
    ),
    "content_filter": ("refused", "the provider's content filter withheld the completion"),
}
_UNFIT = 1  # how many completions that fail a check are asked again


class ParseError(Exception):
    """A completion is not what was asked for; `reason` is for the account, the text for people.

    The text is shown to the model when it is asked again.
    """

    def __init__(self, message: str, reason: str = "unparseable") -> None:
        super().__init__(message)
        self.reason = reason


class CheckFailed(ParseError):
    """A completion can be read, but fails a check; the model is told and asked again once.

    `evidence` says what was found, for the account.
    """

    def __init__(self, message: str, reason: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message, reason)
        self.evidence = evidence or {}


class CompletionFailed(SeqitError):
    """The model gave nothing that can be used, within the bound on attempts; never an answer.

    `requests` are those whose completions were no answers: they are forgotten when the run ends,
    so that the next run asks anew.
    """

    def __init__(
        self,
        stage: str,
        reason: str,
        message: str,
        evidence: dict[str, Any] | None = None,
        requests: tuple[Request, ...] = (),
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason
        self.evidence = evidence or {}
        self.requests = requests


def complete_with_retries(
    request: Request, run_seed: int, read: Parser[T], attempts: int = 3
) -> ModelCall[T]:
    """Ask until a completion can be read, at most `attempts` times; raises CompletionFailed.

    Each attempt draws a seed of its own. After a completion that cannot be read the model is
    shown it and told what is wrong; after one that was cut off or withheld it is asked afresh.
    The second one that fails a check is the last.
    """
    first = request.messages
    tried: list[Request] = []
    found: dict[str, Any] = {}
    reason = message = text = ""
    unfit = 0
    for attempt in range(attempts):
        lot = rng_for(run_seed, request.record_id, request.iteration, f"{request.stage} {attempt}")
        request = replace(request, attempt=attempt, seed=lot.getrandbits(31))
        answer = yield request
        if isinstance(answer, FailedRequest):
            # What was tried stays in the cache: the next run goes on where this one failed.
            raise CompletionFailed(
                request.stage, answer.reason, answer.message, dict(answer.evidence)
            )
        tried.append(request)
        text, found = answer.text, {}
        reason, message = _unfinished(answer)
        if reason:
            request = replace(request, messages=first)
            continue
        try:
            return read(text)
        except ParseError as error:
            reason, message = error.reason, str(error)
            request = replace(request, messages=[*first, *_told(text, message)])
            if isinstance(error, CheckFailed):
                found = error.evidence
                unfit += 1
                if unfit > _UNFIT:
                    break
    evidence = {"completion": text, "attempts": len(tried), **found}
    raise CompletionFailed(request.stage, reason, message, evidence, tuple(tried))


def _unfinished(completion: Completion) -> tuple[str, str]:
    """Return (reason, message) where the completion is not a whole text; empty where it is."""
    if completion.finish_reason in _NOT_FINISHED:
        return _NOT_FINISHED[completion.finish_reason]
    if not completion.text.strip():
        return "empty", "the completion is empty"
    return "", ""


def _told(text: str, problem: str) -> list[Message]:
    """Return the turns that show the model its answer, and what is wrong with it."""
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"That cannot be used: {problem}. Please answer again, in full and exactly "
            "in the form that was asked for.",
        },
    ]
