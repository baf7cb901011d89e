"""Translates the errors of OpenAI-compatible servers into FailedRequest.

An error's body is parsed in OpenAI's form {"error": {"message", "type", "param", "code"}} and in
those of vLLM, FastAPI, Mistral, Ollama, Google and plain proxies.
"""

import math
import re
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any, NamedTuple

import orjson

from seqit.llm.request import FailedRequest
from seqit.records.validation import shorten


class ErrorBody(NamedTuple):
    """The parts of an error's body; empty if missing."""

    message: str = ""
    kind: str = ""  # its `type`
    param: str = ""
    code: Any = ""


_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_OVERLOADED = (503, 529)
_CONTEXT = ("context_length_exceeded", "exceed_context_size_error")
"""Codes of a prompt that is too long; llama.cpp sends them with status 500."""

_CONTENT_FILTER = re.compile(
    r"content[ _-]?(?:filter|policy|management|moderation)|moderation|safety (?:system|filter)"
    r"|flagged|responsible.?ai|data_inspection_failed",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|size|window)|maximum (?:number of )?(?:input )?tokens"
    r"|maximum sequence length|(?:prompt|inputs?|messages?)\b.{0,40}\btoo (?:long|large)"
    r"|reduce the length|max_model_len|string_above_max_length|max_new_tokens.{0,20}must be <=",
    re.IGNORECASE | re.DOTALL,
)
_STRUCTURE = re.compile(
    r"response_?format|json_?schema|structured.?output|guided.?(?:json|decoding)"
    r"|parse grammar|grammar error",
    re.IGNORECASE,
)
_REJECTION = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|recognized|accepted)|unrecognized"
    r"|unknown|unexpected|extra (?:input|field)|does not support|deprecated|invalid"
    r"|only the default|at most|use '",
    re.IGNORECASE,
)


_LIMITS = ("max_tokens", "max_completion_tokens")
_ABOUT_PROMPT = re.compile("context|input|prompt|messages", re.IGNORECASE)
"""Words in a complaint about the token limit that show that the prompt is too long as well."""


def parse_error_body(value: Any) -> ErrorBody:
    """Return the error in a decoded body."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict):
        return ErrorBody(value if isinstance(value, str) else "")
    error = value.get("error")
    if isinstance(error, str):  # Ollama's form
        return ErrorBody(error)
    if not isinstance(error, dict):
        error = value
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    param = error.get("param")
    if isinstance(message, dict):
        message = message.get("detail") or message
    if isinstance(message, list) and message and isinstance(message[0], dict):  # FastAPI's
        location = message[0].get("loc")
        parts = location if isinstance(location, list) else [location]
        path = ".".join(str(each) for each in parts if each not in ("body", None))
        param = param or path
        message = f"{path}: {message[0].get('msg', '')}"
    kind, code = str(error.get("type") or ""), error.get("code") or ""
    field = str(param or "").removeprefix("body.")  # as vLLM has it
    return ErrorBody(message if isinstance(message, str) else "", kind, field, code)


def failure_from_status(
    status: int, headers: Mapping[str, str], raw: bytes, body: Mapping[str, Any], model: str
) -> FailedRequest:
    """Return the failure of a request whose response has an error status.

    `raw` is the response, `body` the request: a parameter that was not sent cannot be the cause.
    """
    try:
        error = parse_error_body(orjson.loads(raw))
    except orjson.JSONDecodeError:
        error = ErrorBody(_plain_text(raw))
    text = " ".join((error.message or _plain_text(raw)).split())
    summary = f"the server answered {status}"
    if text:
        summary += f": {shorten(text, 300).rstrip('.')}"
    if error.code in _CONTEXT or error.kind in _CONTEXT:
        return FailedRequest("too-long", summary)
    if status == 429:
        return _rate_limited(summary, error, headers)
    if status in (408, 409, 425) or status >= 500:
        overloaded = status in _OVERLOADED
        wait = _retry_after(headers)
        return FailedRequest("server-error", summary, True, overloaded=overloaded, retry_after=wait)
    if failed := _content_failure(status, summary, text, error, body):
        return failed
    if advice := _config_advice(status, headers, model):
        return FailedRequest("config", f"{summary}. {advice}", fatal=True)
    return FailedRequest("bad-request", summary)


def _rate_limited(summary: str, error: ErrorBody, headers: Mapping[str, str]) -> FailedRequest:
    if error.code in _QUOTA or error.kind in _QUOTA:
        return FailedRequest("config", f"{summary}. The account has no quota left", fatal=True)
    wait = _retry_after(headers)
    return FailedRequest("rate-limited", summary, retryable=True, overloaded=True, retry_after=wait)


def _content_failure(
    status: int, summary: str, text: str, error: ErrorBody, body: Mapping[str, Any]
) -> FailedRequest | None:
    """Return the failure if the server rejects the content of the request; else None."""
    if status not in (400, 403, 413, 422):
        return None
    if _CONTENT_FILTER.search(f"{error.code} {error.kind} {text}"):
        return FailedRequest("refused", summary)
    limit_alone = error.param in _LIMITS and not _ABOUT_PROMPT.search(text)
    if status == 413 or (_TOO_LONG.search(f"{error.code} {text}") and not limit_alone):
        return FailedRequest("too-long", summary)
    # A message may quote the prompt, which may contain any word: only its start is searched.
    start = error.message[:200]
    if "response_format" in body and _STRUCTURE.search(error.param or start):
        return FailedRequest("config", f"{summary}. Add --no-structured", fatal=True)
    for key in body:
        if key not in ("model", "messages") and _is_about_parameter(key, error.param, start):
            advice = _parameter_advice(key, body, text)
            return FailedRequest("config", f"{summary}. {advice}", fatal=True)
    return None


def _is_about_parameter(key: str, param: str, message: str) -> bool:
    if param:
        return param == key
    # `seed` and `stop` are also words: unquoted, they count only after "parameter" or the like.
    before = r"\b" if "_" in key else r"['\"`]|(?i:argument|parameter|supplied)s?:? "
    named = re.search(rf"(?:{before}){re.escape(key)}(?!\w)", message)
    return named is not None and _REJECTION.search(message) is not None


def _parameter_advice(key: str, body: Mapping[str, Any], text: str) -> str:
    """Return what to do about a rejected parameter; the limit of new tokens has two names."""
    extra: dict[str, Any] = {key: None}
    if key in _LIMITS:
        other = _LIMITS[key == _LIMITS[0]]
        if other not in text:
            return "Ask for fewer new tokens"
        extra[other] = body[key]
    return f"Change or leave out {key!r}, as in --extra-body '{orjson.dumps(extra).decode()}'"


def _config_advice(status: int, headers: Mapping[str, str], model: str) -> str:
    """Return what to do if every request would fail; empty if it may be this one only."""
    if status in (401, 403):
        return "Set OPENAI_API_KEY to a key that may use this server and model"
    if status == 402:
        return "The account has no credit left"
    if status in (404, 405):
        return f"Check OPENAI_BASE_URL, which mostly ends in /v1, and the model's name {model!r}"
    if 300 <= status < 400:
        to = (headers.get("location") or "another address").partition("?")[0].rpartition("@")[2]
        return f"It redirects to {to}, which is not followed: set OPENAI_BASE_URL to the right one"
    return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, at least 0; None if it does not."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name) or "none") / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    date = parsedate_tz(headers.get("retry-after") or "")
    try:
        return max(mktime_tz(date) - time.time(), 0.0) if date else None
    except (ValueError, OverflowError):
        return None


def _plain_text(raw: bytes) -> str:
    """Return the text of a proxy's HTML page."""
    return re.sub(r"<(?:style|script).*?</|<[^>]*>", " ", raw[:4000].decode("utf-8", "replace"))


def failure_from_exception(error: Exception, base_url: str, timeout: float) -> FailedRequest:
    """Return the failure of a request with no response or an incomplete one."""
    import aiohttp

    if isinstance(error, aiohttp.ConnectionTimeoutError):
        message = f"{base_url} cannot be reached: no connection came about in time"
        return FailedRequest("timeout", message, retryable=True)
    if isinstance(error, TimeoutError):
        message = f"{base_url} gave no answer within {timeout:g} seconds"
        return FailedRequest("timeout", message, retryable=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        message = f"{base_url} cannot be reached safely: {_cause(error)}"
        return FailedRequest("config", message, fatal=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy for {base_url} answered {error.status}"
        return FailedRequest(
            "connection", message, retryable=error.status != 407, fatal=error.status == 407
        )
    if isinstance(error, aiohttp.ClientResponseError):
        message = f"what {base_url} answered is not HTTP"
        return FailedRequest("malformed-response", message, retryable=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        message = f"{base_url} cut the connection in the middle of an answer"
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        message = f"the proxy for {base_url} cannot be reached: {_cause(error)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        message = f"{base_url} cannot be reached: {_cause(error)}"
    else:
        message = f"{base_url} cut the connection before it answered"
    return FailedRequest("connection", message, retryable=True)


def _cause(error: Exception) -> str:
    """Return the system's message, without an address that could contain a password."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(getattr(cause, "strerror", None) or type(cause).__name__)
