"""What a provider's batch says: how it stands, and the answer in a line of its files."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import BatchAPI, UnknownResult
from seqit.llm.request import FailedRequest, Request, RequestOutcome
from seqit.records.validation import shorten

_READINGS = 3
_ENDED = ("completed", "failed", "expired", "cancelled")
_QUEUE_FULL = "token_limit_exceeded"  # more tokens than one may have in the provider's queue


def status_of(batch: Mapping[str, Any]) -> str:
    """Return how a batch stands; some providers write it in capitals."""
    return str(batch.get("status")).lower()


def has_ended(batch: Mapping[str, Any]) -> bool:
    """Say whether nothing more will come of a batch."""
    return status_of(batch) in _ENDED


def errors_of(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return why a batch as a whole was not accepted: code, message, and line where it is one's."""
    errors = batch.get("errors")
    found = errors.get("data") if isinstance(errors, dict) else errors
    return [each if isinstance(each, dict) else {"message": str(each)} for each in found or ()]


def queue_is_full(errors: list[dict[str, Any]]) -> bool:
    """Say whether a batch may be accepted later, or if it is smaller."""
    return any(error.get("code") == _QUEUE_FULL for error in errors)


def sentence(errors: list[dict[str, Any]]) -> str:
    """Return what the errors say, the first three of them."""
    said = [str(error.get("message") or error.get("code")) for error in errors]
    return "; ".join(said[:3]) or "the provider does not say why"


def lines_of(
    api: BatchAPI, batch: Mapping[str, Any], wanted: set[bytes]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the lines of an ended batch's files that answer a wanted request, with its key.

    What is yielded is taken out of `wanted`: what is left there in the end was not answered.
    Raises UnknownResult where a file cannot be read to its end.
    """
    for name in ("output_file_id", "error_file_id"):
        for reading in range(_READINGS if batch.get(name) else 0):
            try:
                for line in api.lines(batch[name]):
                    key = _key_of(line)
                    if key in wanted:
                        wanted.remove(key)
                        yield key, line
                break
            except UnknownResult:  # cut off: what was read of it is not wanted any more
                if reading == _READINGS - 1:
                    raise


def _key_of(line: Any) -> bytes:
    """Return the key of the request that a line answers; empty where it is none of seqit's."""
    try:
        return bytes.fromhex(line["custom_id"])
    except (TypeError, KeyError, ValueError):
        return b""


def read_line(line: Mapping[str, Any], asks: OpenAIBackend, request: Request) -> RequestOutcome:
    """Return the answer to a request in its line of an output or error file."""
    error, response = line.get("error"), line.get("response")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        body = asks.body_of(request)
        sent = {} if isinstance(body, FailedRequest) else body  # an image that is there no more
        raw = orjson.dumps(response.get("body"))
        return asks.answer_of(response["status_code"], {}, raw, sent)
    if isinstance(error, dict):
        said = shorten(str(error.get("message") or error.get("code")), 300)
        expired = error.get("code") == "batch_expired"
        return FailedRequest("timeout" if expired else "server-error", said, retryable=True)
    said = "the batch's line for this request has neither a response nor an error"
    return FailedRequest("malformed-response", said, retryable=True)


def no_line(status: str) -> FailedRequest:
    """Return the failure of a request that an ended batch says nothing about."""
    said = f"the batch ended ({status}) without an answer to this request"
    return FailedRequest("timeout" if status == "expired" else "server-error", said, retryable=True)
