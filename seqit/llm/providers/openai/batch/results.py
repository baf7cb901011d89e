"""Reads a provider's batch: its status, its errors, and the lines of its output files."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import BatchAPI, UnknownResult
from seqit.llm.request import FailedRequest, Request, RequestOutcome
from seqit.records.validation import shorten

_MAX_READS = 3
_ENDED = ("completed", "failed", "expired", "cancelled")
_QUEUE_FULL = "token_limit_exceeded"  # more tokens than the account may have in the queue


def status_of(batch: Mapping[str, Any]) -> str:
    """Return a batch's status in lower case; some providers use capitals."""
    return str(batch.get("status")).lower()


def has_ended(batch: Mapping[str, Any]) -> bool:
    """Return whether a batch is no longer processed."""
    return status_of(batch) in _ENDED


def errors_of(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the errors of a batch that was not accepted: code, message, and perhaps a line."""
    errors = batch.get("errors")
    found = errors.get("data") if isinstance(errors, dict) else errors
    return [each if isinstance(each, dict) else {"message": str(each)} for each in found or ()]


def is_queue_full(errors: list[dict[str, Any]]) -> bool:
    """Return whether a batch may be accepted later or if it is smaller."""
    return any(error.get("code") == _QUEUE_FULL for error in errors)


def error_summary(errors: list[dict[str, Any]]) -> str:
    """Return the messages of the first three errors."""
    messages = [str(error.get("message") or error.get("code")) for error in errors]
    return "; ".join(messages[:3]) or "the provider does not say why"


def read_lines(
    api: BatchAPI, batch: Mapping[str, Any], pending: set[bytes]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield (key, line) for the pending requests in an ended batch's files.

    Yielded keys are removed from `pending`: those left at the end have no line. Raises
    UnknownResult if a file cannot be read completely.
    """
    for name in ("output_file_id", "error_file_id"):
        for attempt in range(_MAX_READS if batch.get(name) else 0):
            try:
                for line in api.lines(batch[name]):
                    key = _key_of(line)
                    if key in pending:
                        pending.remove(key)
                        yield key, line
                break
            except UnknownResult:  # read again; lines already yielded are no longer pending
                if attempt == _MAX_READS - 1:
                    raise


def _key_of(line: Any) -> bytes:
    """Return the key of a line's request; empty if the line is not from seqit."""
    try:
        return bytes.fromhex(line["custom_id"])
    except (TypeError, KeyError, ValueError):
        return b""


def parse_line(
    line: Mapping[str, Any], chat_backend: OpenAIBackend, request: Request
) -> RequestOutcome:
    """Return the outcome of a request from its line in an output or error file."""
    error, response = line.get("error"), line.get("response")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        body = chat_backend.build_body(request)
        if isinstance(body, FailedRequest):  # an image file that was deleted in the meantime
            body = {}
        raw = orjson.dumps(response.get("body"))
        return chat_backend.parse_response(response["status_code"], {}, raw, body)
    if isinstance(error, dict):
        message = shorten(str(error.get("message") or error.get("code")), 300)
        reason = "timeout" if error.get("code") == "batch_expired" else "server-error"
        return FailedRequest(reason, message, retryable=True)
    message = "the batch's line for this request has neither a response nor an error"
    return FailedRequest("malformed-response", message, retryable=True)


def missing_line_failure(status: str) -> FailedRequest:
    """Return the failure of a request that has no line in an ended batch's files."""
    reason = "timeout" if status == "expired" else "server-error"
    message = f"the batch ended ({status}) without an answer to this request"
    return FailedRequest(reason, message, retryable=True)
