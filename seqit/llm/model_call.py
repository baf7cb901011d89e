"""Model calls: generators that yield requests and are sent the outcomes, with retries.

All stages and iterations of a record are one such generator, and the scheduler runs many of them
concurrently. So a stage reads like sequential code, and no stage waits for all rows.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeVar

from seqit.errors import SeqitError
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome
from seqit.records.identity import rng_for

T = TypeVar("T")

ModelCall = Generator[Request, RequestOutcome, T]
"""A generator that yields requests, is sent the outcome of each, and returns a T."""

Parser = Callable[[str], T]
"""Parses the text of a completion; raises ParseError if it is not in the requested form."""

_NOT_FINISHED = {
    "length": (
        "truncated",
        "the completion was cut off at the limit of new tokens (--max-new-tokens)",
    ),
    "content_filter": ("refused", "the provider's content filter withheld the completion"),
}
_MAX_CHECK_RETRIES = 1  # after completions that fail a check


class ParseError(Exception):
    """A completion is not in the requested form; `reason` is the code for the run's statistics.

    The message is for people and is sent to the model in the retry.
    """

    def __init__(self, message: str, reason: str = "unparseable") -> None:
        super().__init__(message)
        self.reason = reason


class CheckFailed(ParseError):
    """A completion can be parsed but fails a check; the model gets one retry with the message.

    `evidence` is written to the reject's evidence.
    """

    def __init__(self, message: str, reason: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message, reason)
        self.evidence = evidence or {}


class CompletionFailed(SeqitError):
    """No usable completion within the allowed attempts; never treated as an answer.

    `requests` are those with unusable completions: they are removed from the cache when the run
    ends, so that the next run makes them again.
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
    request: Request, run_seed: int, parse: Parser[T], attempts: int = 3
) -> ModelCall[T]:
    """Request completions until one can be parsed, at most `attempts`; raises CompletionFailed.

    Each attempt has its own seed. After a completion that cannot be parsed, the next request
    contains it and the error; after one that was truncated or filtered, the original messages are
    sent again. The second completion that fails a check is the last.
    """
    original = request.messages
    tried: list[Request] = []
    check_evidence: dict[str, Any] = {}
    reason = message = text = ""
    failed_checks = 0
    for attempt in range(attempts):
        rng = rng_for(run_seed, request.record_id, request.iteration, f"{request.stage} {attempt}")
        request = replace(request, attempt=attempt, seed=rng.getrandbits(31))
        outcome = yield request
        if isinstance(outcome, FailedRequest):
            # Earlier completions stay in the cache: the next run resumes where this one failed.
            raise CompletionFailed(
                request.stage, outcome.reason, outcome.message, dict(outcome.evidence)
            )
        tried.append(request)
        text, check_evidence = outcome.text, {}
        reason, message = _finish_problem(outcome)
        if reason:
            request = replace(request, messages=original)
            continue
        try:
            return parse(text)
        except ParseError as error:
            reason, message = error.reason, str(error)
            request = replace(request, messages=[*original, *_correction_turns(text, message)])
            if isinstance(error, CheckFailed):
                check_evidence = error.evidence
                failed_checks += 1
                if failed_checks > _MAX_CHECK_RETRIES:
                    break
    evidence = {"completion": text, "attempts": len(tried), **check_evidence}
    raise CompletionFailed(request.stage, reason, message, evidence, tuple(tried))


def _finish_problem(completion: Completion) -> tuple[str, str]:
    """Return (reason, message) if the completion is empty or incomplete; else empty strings."""
    if completion.finish_reason in _NOT_FINISHED:
        return _NOT_FINISHED[completion.finish_reason]
    if not completion.text.strip():
        return "empty", "the completion is empty"
    return "", ""


def _correction_turns(text: str, problem: str) -> list[Message]:
    """Return the turns that contain the model's completion and what is wrong with it."""
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"That cannot be used: {problem}. Please answer again, in full and exactly "
            "in the form that was asked for.",
        },
    ]
