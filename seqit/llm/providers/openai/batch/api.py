"""The provider's /files and /batches: few calls with large bodies, so plain blocking HTTP.

Source: the OpenAI API reference, "Files" and "Batch", which other providers have copied.
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
from seqit.llm.providers.openai.errors import failure_of_status
from seqit.llm.providers.openai.server import Server

ENDPOINT = "/v1/chat/completions"
MARK = "seqit"
"""The key in a batch's metadata under which seqit knows it again."""

PAUSES = (1.0, 3.0, 9.0, 27.0)
"""Seconds before each further try, where trying again is harmless."""

_BLOCK = 1 << 20
_CLOCKS = 24 * 3600
"""Seconds by which the provider's clock and ours differ at most."""


class RequestRefused(SeqitError):
    """The provider will not do it, and asking again would not help."""


class NotFound(RequestRefused):
    """The provider knows no such thing."""


class UnknownResult(SeqitError):
    """No answer came: what was asked may have been done, or not."""


class BatchAPI:
    """Uploads, submits, finds and reads batches of one model; `timeout` is seconds without a byte.

    Every call may raise RequestRefused or UnknownResult, with a sentence.
    """

    def __init__(
        self, server: Server, model: str, timeout: float = 120, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        self._server = server
        self._model = model
        self._timeout = timeout
        self._pauses = pauses
        proxies = dict.fromkeys(("http", "https"), server.proxy) if server.proxy else {}
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies), _StayHere()
        )

    def upload(self, file: IO[bytes], name: str) -> str:
        """Upload a file of requests, from its start; returns the id that it got."""
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
                return str(self._object("POST", "files", body(), form)["id"])
            except UnknownResult:  # a file that is there twice costs nothing
                time.sleep(pause)
        return str(self._object("POST", "files", body(), form)["id"])

    def create(self, file_id: str, token: str) -> dict[str, Any]:
        """Submit an uploaded file under a token; Uncertain: it may have been submitted."""
        body = {
            "input_file_id": file_id,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {MARK: token},
        }
        return self._object("POST", "batches", orjson.dumps(body))

    def find(self, token: str, file_id: str, posted: float) -> dict[str, Any] | None:
        """Return the batch that was submitted under a token, not before the Unix time `posted`.

        The file tells it where the provider does not give the metadata back.
        """
        query = {"limit": "100"}
        while True:
            page = self._get("batches", query)
            batches = page.get("data") or []
            for batch in batches:  # the newest first
                mark = (batch.get("metadata") or {}).get(MARK)
                if mark == token or batch.get("input_file_id") == file_id:
                    return dict(batch)
            if not page.get("has_more") or not batches:
                return None
            created = batches[-1].get("created_at")
            if isinstance(created, int | float) and created < posted - _CLOCKS:
                return None
            query["after"] = batches[-1]["id"]

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as it stands; raises NotFound where the provider has forgotten it."""
        return self._get(f"batches/{urllib.parse.quote(batch_id)}")

    def lines(self, file_id: str) -> Iterator[Any]:
        """Yield the decoded lines of a file; none where the provider has deleted it."""
        path = f"files/{urllib.parse.quote(file_id)}/content"
        try:
            with contextlib.closing(self._retried(path)) as reply, self._told(path):
                for line in _lines(reply):
                    if line.strip():
                        yield orjson.loads(line)
        except NotFound:
            return

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        with contextlib.closing(self._retried(path, query)) as reply:
            return self._decoded(reply, path)

    def _object(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        with contextlib.closing(self._send(method, path, body=body, headers=headers)) as reply:
            return self._decoded(reply, path)

    def _decoded(self, reply: IO[bytes], path: str) -> dict[str, Any]:
        with self._told(path):
            value = orjson.loads(reply.read())
        if not isinstance(value, dict):
            raise UnknownResult(f"{self._server.base_url}/{path} answered with no JSON object")
        return value

    def _retried(self, path: str, query: Mapping[str, str] | None = None) -> IO[bytes]:
        """GET a path, again where that may help."""
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
        with self._told(path):
            reply: IO[bytes] = self._opener.open(request, timeout=self._timeout)
            return reply

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turn what HTTP and the network raise into sentences."""
        where = f"{self._server.base_url}/{path}"
        try:
            yield
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raw = self._server.redact(_rest(error))
            headers = {name.lower(): value for name, value in error.headers.items()}
            failed = failure_of_status(error.code, headers, raw, {}, self._model)
            kind = (
                NotFound
                if error.code == 404
                else UnknownResult
                if failed.retryable
                else RequestRefused
            )
            raise kind(f"{where}: {failed.message}") from None
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            raise UnknownResult(f"{where}: {_cause(error)}") from None


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the key is for this server alone."""

    def redirect_request(self, *args: Any) -> None:
        """Let the redirection be the error that it is."""


def _lines(reply: Any) -> Iterator[bytes]:
    """Yield a reply's lines; raises IncompleteRead where it was cut: its own readline does not."""
    rest = b""
    while block := reply.read(_BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if reply.length:
        raise http.client.IncompleteRead(rest, reply.length)
    yield rest


def _rest(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_BLOCK)
    except (OSError, http.client.HTTPException):
        return b""


def _cause(error: Exception) -> str:
    """Return what went wrong with the connection, in the system's words."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _cause(reason)
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, orjson.JSONDecodeError):
        return "the answer is not JSON, or was cut off"
    return str(getattr(error, "strerror", None) or reason or error or type(error).__name__)
