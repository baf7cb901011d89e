"""The backend for OpenAI-compatible servers: one connection pool in one thread.

It uses aiohttp rather than the official client, which is CPU-bound at about 220 requests per
second.
"""

import asyncio
import io
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from seqit.errors import RowError, SeqitError
from seqit.llm.backend import Deliver
from seqit.llm.images import as_data_url
from seqit.llm.providers.openai.chat import (
    chat_body,
    check_extra_body,
    has_images,
    parse_completion,
)
from seqit.llm.providers.openai.errors import failure_from_exception, failure_from_status
from seqit.llm.providers.openai.server import find_server
from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome
from seqit.records.validation import shorten

_CONNECT_TIMEOUT = 30.0
"""Seconds to wait for a connection to be established."""

_KEEPALIVE = 4.0
"""Seconds to keep an idle connection: less than the 5 of uvicorn, which serves vLLM, so that no
request is sent on one that the server is closing."""

_LARGE_BODY = 1 << 20
"""Bytes above which aiohttp wants a body as a file."""


class OpenAIBackend:
    """Uses a model at an OpenAI-compatible server; see seqit.llm.backend.Backend.

    base_url, api_key: by default OPENAI_BASE_URL and OPENAI_API_KEY. timeout: seconds for one
    request. extra_body: merged into every request; null removes a key. structured: whether the
    server supports response_format. image_side: longest side of an image, in pixels.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        extra_body: Mapping[str, Any] | None = None,
        structured: bool = True,
        image_side: int = 1024,
    ) -> None:
        check_extra_body(extra_body or {})
        self.name = f"openai:{model}"
        self.capacity = 0
        self.structured = structured
        self.model = model
        self.server = find_server(base_url, api_key)
        self._timeout = timeout
        self._extra = dict(extra_body or {})
        self._image_side = image_side
        self._wakeup = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None  # what stopped the thread
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._finished: list[tuple[int, RequestOutcome]] = []

    def identity(self) -> dict[str, Any]:
        """Return what decides a completion: server, model, extra body, image size."""
        return {
            "kind": "openai",
            "base_url": self.server.base_url,
            "model": self.model,
            "extra_body": self._extra,
            "image_side": self._image_side,
        }

    def build_body(self, request: Request) -> dict[str, Any] | FailedRequest:
        """Return the body of a request; a FailedRequest if an image cannot be sent."""
        try:
            return chat_body(
                request,
                self.model,
                image_url=partial(as_data_url, longest_side=self._image_side),
                extra=self._extra,
                structured=self.structured,
                limit_name="max_completion_tokens" if self.server.is_openai else "max_tokens",
            )
        except RowError as error:
            return FailedRequest("bad-image", str(error))
        except SeqitError as error:  # Pillow is missing
            return FailedRequest("config", str(error), fatal=True)

    def parse_response(
        self, status: int, headers: Mapping[str, str], raw: bytes, body: Mapping[str, Any]
    ) -> RequestOutcome:
        """Return the outcome in the server's response to a request with `body`."""
        success = 200 <= status < 300
        if success:
            outcome = parse_completion(raw, self.model)
            if isinstance(outcome, Completion):
                return outcome
        raw = self.server.redact(raw)
        if success:
            failed = parse_completion(raw, self.model)
        else:
            failed = failure_from_status(status, headers, raw, body, self.model)
        evidence = {"status": status, "response": shorten(raw.decode("utf-8", "replace"), 500)}
        return replace(failed, evidence=evidence) if isinstance(failed, FailedRequest) else failed

    def open(self, deliver: Deliver) -> None:
        """Start the thread; the first request connects. Raises UsageError if a key is missing."""
        self.server.check_key()
        self._deliver = deliver
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="openai", daemon=True)
        self._thread.start()
        ready.wait()
        self._raise_error()

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Send requests, each with its ticket; returns at once."""
        self._loop.call_soon_threadsafe(self._start_tasks, batch)

    def wait(self, timeout: float | None) -> None:
        """Return after a delivery, `wake`, or `timeout` seconds; raises what stopped the thread."""
        # Whatever is delivered before the flag is cleared is collected by the caller afterwards.
        self._wakeup.wait(timeout)
        self._wakeup.clear()
        self._raise_error()

    def wake(self) -> None:
        """Make a `wait` in another thread return."""
        self._wakeup.set()

    def close(self) -> None:
        """Drop what is in flight and end the thread."""
        thread, self._thread = self._thread, None
        if thread and thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def _raise_error(self) -> None:
        if self._error:
            raise self._error

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            self._error = error
        finally:
            ready.set()
            self._wakeup.set()

    async def _serve(self, ready: threading.Event) -> None:
        """Keep the connections open until `close`, then drop what is in flight."""
        import aiohttp

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._url = self.server.url("chat/completions")
        # The scheduler limits what is in flight: a second limit here would be a hidden queue.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self.server.headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECT_TIMEOUT),
        ) as self._session:
            ready.set()
            await self._stop.wait()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.clear()
            self._flush()

    def _start_tasks(self, batch: list[tuple[int, Request]]) -> None:
        for ticket, request in batch:
            self._tasks[ticket] = self._loop.create_task(self._run_task(ticket, request))

    async def _run_task(self, ticket: int, request: Request) -> None:
        try:
            outcome = await self._complete(request)
        except Exception as error:  # a bug: the run must end rather than wait forever
            self._error = error
            self._wakeup.set()
            return
        del self._tasks[ticket]
        if not self._finished:  # what finishes before the loop's next turn is delivered together
            self._loop.call_soon(self._flush)
        self._finished.append((ticket, outcome))

    def _flush(self) -> None:
        done, self._finished = self._finished, []
        if not done:
            return
        try:
            self._deliver(done)
        except Exception as error:
            self._error = error
        self._wakeup.set()

    async def _complete(self, request: Request) -> RequestOutcome:
        if has_images(request.messages):
            body = await asyncio.to_thread(self.build_body, request)
        else:
            body = self.build_body(request)
        if isinstance(body, FailedRequest):
            return body
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            return FailedRequest("bad-request", f"the request cannot be written as JSON: {error}")
        return await self._post(data, body)

    async def _post(self, data: bytes, body: dict[str, Any]) -> RequestOutcome:
        from aiohttp import ClientError

        sent = data if len(data) < _LARGE_BODY else io.BytesIO(data)
        try:
            # Redirects are not followed: key and prompts are sent only to the user's address.
            async with self._session.post(
                self._url, data=sent, proxy=self.server.proxy, allow_redirects=False
            ) as response:
                raw = await response.read()
        except (ClientError, OSError) as error:
            return failure_from_exception(error, self.server.base_url, self._timeout)
        return self.parse_response(response.status, response.headers, raw, body)
