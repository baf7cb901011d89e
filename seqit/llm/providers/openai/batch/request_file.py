"""Writes requests as the lines of a batch's input file."""

from typing import IO

import orjson

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import ENDPOINT
from seqit.llm.providers.openai.batch.pending import Delivery, PendingRequests
from seqit.llm.request import FailedRequest, Request

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""A provider's limits for one batch. Source: the OpenAI API reference, "Create batch"."""


def write_batch(
    requests: PendingRequests,
    chat_backend: OpenAIBackend,
    file: IO[bytes],
    max_requests: int,
    max_bytes: int = MAX_BYTES,
) -> tuple[list[bytes], Delivery]:
    """Write the first unsubmitted requests, as many as fit into a batch, one per line.

    Returns their keys in order, and the failures of those that cannot be written.
    """
    keys: list[bytes] = []
    failures: Delivery = []
    while requests.unsubmitted and len(keys) < max_requests:
        key = requests.unsubmitted[0]
        line = _build_line(key, requests.open[key].request, chat_backend, max_bytes)
        if isinstance(line, FailedRequest):
            failures += requests.finish(key, line)
        elif file.tell() + len(line) > max_bytes:
            break
        else:
            file.write(line)
            keys.append(key)
        requests.unsubmitted.popleft()
    return keys, failures


def _build_line(
    key: bytes, request: Request, chat_backend: OpenAIBackend, max_bytes: int
) -> bytes | FailedRequest:
    """Return a request as a line, or a FailedRequest if it cannot be written."""
    body = chat_backend.build_body(request)
    if isinstance(body, FailedRequest):
        return body
    line = {"custom_id": key.hex(), "method": "POST", "url": ENDPOINT, "body": body}
    try:
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        return FailedRequest("bad-request", f"the request cannot be written as JSON: {error}")
    if len(data) > max_bytes:
        return FailedRequest(
            "too-long", f"the request is larger than a batch may be, {max_bytes:,} bytes"
        )
    return data
