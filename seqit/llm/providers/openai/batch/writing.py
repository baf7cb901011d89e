"""Requests as the lines of a batch's file."""

from typing import IO

import orjson

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import ENDPOINT
from seqit.llm.providers.openai.batch.requests import Delivery, PendingRequests
from seqit.llm.request import FailedRequest, Request

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""What a provider takes in one batch. Source: the OpenAIBackend API reference, "Create batch"."""


def write_batch(
    requests: PendingRequests,
    asks: OpenAIBackend,
    file: IO[bytes],
    most: int,
    most_bytes: int = MOST_BYTES,
) -> tuple[list[bytes], Delivery]:
    """Write the first fresh requests, as many as a batch takes, a line each.

    Returns their keys in order, and the failures of those that cannot be written.
    """
    keys: list[bytes] = []
    failures: Delivery = []
    while requests.fresh and len(keys) < most:
        key = requests.fresh[0]
        line = _line(key, requests.open[key].request, asks, most_bytes)
        if isinstance(line, FailedRequest):
            failures += requests.finish(key, line)
        elif file.tell() + len(line) > most_bytes:
            break
        else:
            file.write(line)
            keys.append(key)
        requests.fresh.popleft()
    return keys, failures


def _line(
    key: bytes, request: Request, asks: OpenAIBackend, most_bytes: int
) -> bytes | FailedRequest:
    """Return a request as a line, or why it cannot be one."""
    body = asks.body_of(request)
    if isinstance(body, FailedRequest):
        return body
    line = {"custom_id": key.hex(), "method": "POST", "url": ENDPOINT, "body": body}
    try:
        written = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        return FailedRequest("bad-request", f"the request cannot be written as JSON: {error}")
    if len(written) > most_bytes:
        return FailedRequest(
            "too-long", f"the request is larger than a batch may be, {most_bytes:,} bytes"
        )
    return written
