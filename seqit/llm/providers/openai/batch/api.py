"""A client of the provider's /files and /batches; blocking HTTP, since calls are few and large.

Source: the OpenAI API reference, "Files" and "Batch", which other providers implement too.
"""

import contextlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import IO, Any
from uuid import uuid4

import orjson

from seqit.errors import SeqitError
from seqit.llm.providers.openai.errors import failure_from_status
from seqit.llm.providers.openai.server import Server

ENDPOINT = "/v1/chat/completions"
METADATA_KEY = "seqit"
"""The key in a batch's metadata by which seqit identifies it."""

RETRY_PAUSES = (1.0, 3.0, 9.0, 27.0)
"""Seconds before each retry of a call that can be repeated safely."""

_BLOCK = 1 << 20
_MAX_CLOCK_SKEW = 24 * 3600
"""Seconds by which the provider's clock may differ from ours."""


class RequestRefused(SeqitError):
    """The provider refuses a call; a retry would not help."""


class NotFound(RequestRefused):
    """The provider has no such batch or file."""


class UnknownResult(SeqitError):
    """No usable response: the call may have been executed or not."""


class BatchAPI:
    """Uploads, submits, finds and reads batches of one model.

    `timeout` is in seconds without a byte. Every call may raise RequestRefused or UnknownResult.
    """

    def __init__(
        self,
        server: Server,
        model: str,
        timeout: float = 120,
        pauses: tuple[float, ...] = RETRY_PAUSES,
    ) -> None:
        self._server = server
        self._model = model
        self._timeout = timeout
        self._pauses = pauses
        proxies = dict.fromkeys(("http", "https"), server.proxy) if server.proxy else {}
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies), _NoRedirects()
        )

    def upload(self, file: IO[bytes], name: str) -> str:
        """Upload a file of requests from its start; returns its id."""
        boundary = uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = file.seek(0, 2)
        form = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }

        def body() -> Iterator[bytes]:
            file.seek(0)
            yield head
            yield from iter(lambda: file.read(_BLOCK), b"")
            yield tail

        for pause in self._pauses:
            try:
                return str(self._call("POST", "files", body(), form)["id"])
            except UnknownResult:  # a file uploaded twice costs nothing
                time.sleep(pause)
        return str(self._call("POST", "files", body(), form)["id"])

    def create(self, file_id: str, token: str) -> dict[str, Any]:
        """Create a batch of an uploaded file, with a token; UnknownResult: it may exist."""
        body = {
            "input_file_id": file_id,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {METADATA_KEY: token},
        }
        return self._call("POST", "batches", orjson.dumps(body))

    def find(self, token: str, file_id: str, submitted_at: float) -> dict[str, Any] | None:
        """Return the batch with this token, submitted at the Unix time `submitted_at` or later.

        It is matched by its file if the provider does not return the metadata. None if not found.
        """
        query = {"limit": "100"}
        while True:
            page = self._get("batches", query)
            batches = page.get("data") or []
            for batch in batches:  # newest first
                batch_token = (batch.get("metadata") or {}).get(METADATA_KEY)
                if batch_token == token or batch.get("input_file_id") == file_id:
                    return dict(batch)
            if not page.get("has_more") or not batches:
                return None
            created = batches[-1].get("created_at")
            if isinstance(created, int | float) and created < submitted_at - _MAX_CLOCK_SKEW:
                return None
            query["after"] = batches[-1]["id"]

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return a batch's current object; raises NotFound if the provider has deleted it."""
        return self._get(f"batches/{urllib.parse.quote(batch_id)}")

    def lines(self, file_id: str) -> Iterator[Any]:
        """Yield the decoded lines of a file; none if the provider has deleted it."""
        path = f"files/{urllib.parse.quote(file_id)}/content"
        try:
            with (
                contextlib.closing(self._get_with_retries(path)) as response,
                self._translate_errors(path),
            ):
                for line in _lines(response):
                    if line.strip():
                        yield orjson.loads(line)
        except NotFound:
            return

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        with contextlib.closing(self._get_with_retries(path, query)) as response:
            return self._decode(response, path)

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        with contextlib.closing(self._send(method, path, body=body, headers=headers)) as response:
            return self._decode(response, path)

    def _decode(self, response: IO[bytes], path: str) -> dict[str, Any]:
        with self._translate_errors(path):
            value = orjson.loads(response.read())
        if not isinstance(value, dict):
            raise UnknownResult(f"{self._server.base_url}/{path} did not return a JSON object")
        return value

    def _get_with_retries(self, path: str, query: Mapping[str, str] | None = None) -> IO[bytes]:
        """GET a path, with retries."""
        for pause in self._pauses:
            try:
                return self._send("GET", path, query)
            except UnknownResult:
                time.sleep(pause)
        return self._send("GET", path, query)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> IO[bytes]:
        url = self._server.url(path)
        if query:
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(query)
        sent = {**self._server.headers, **(headers or {})}
        request = urllib.request.Request(url, body, sent, method=method)
        with self._translate_errors(path):
            response: IO[bytes] = self._opener.open(request, timeout=self._timeout)
            return response

    @contextlib.contextmanager
    def _translate_errors(self, path: str) -> Iterator[None]:
        """Translate the errors of HTTP and the network into RequestRefused and UnknownResult."""
        where = f"{self._server.base_url}/{path}"
        try:
            yield
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raw = self._server.redact(_error_body(error))
            headers = {name.lower(): value for name, value in error.headers.items()}
            failed = failure_from_status(error.code, headers, raw, {}, self._model)
            kind = (
                NotFound
                if error.code == 404
                else UnknownResult
                if failed.retryable
                else RequestRefused
            )
            raise kind(f"{where}: {failed.message}") from None
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            raise UnknownResult(f"{where}: {_describe_error(error)}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects, since the key is for this server only."""

    def redirect_request(self, *args: Any) -> None:
        """Return None, so that the redirect is raised as an HTTPError."""


def _lines(response: Any) -> Iterator[bytes]:
    """Yield a response's lines; raises IncompleteRead if truncated, which `readline` does not."""
    rest = b""
    while block := response.read(_BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if response.length:
        raise http.client.IncompleteRead(rest, response.length)
    yield rest


def _error_body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_BLOCK)
    except (OSError, http.client.HTTPException):
        return b""


def _describe_error(error: Exception) -> str:
    """Return the system's description of a connection error."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _describe_error(reason)
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, orjson.JSONDecodeError):
        return "the answer is not JSON, or was cut off"
    return str(getattr(error, "strerror", None) or reason or error or type(error).__name__)
