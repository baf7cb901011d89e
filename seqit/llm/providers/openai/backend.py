"""The backend for every OpenAI-compatible server, over one connection pool in a thread of its own.

aiohttp rather than the official client, which is bound by the CPU near 220 requests a second;
what a request costs here is aiohttp's own work and little else.
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
from seqit.llm.providers.openai.chat import chat_body, check_extra_body, has_images, read_completion
from seqit.llm.providers.openai.errors import failure_of_exception, failure_of_status
from seqit.llm.providers.openai.server import find_server
from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome
from seqit.records.validation import shorten

_CONNECTING = 30.0
"""Seconds to wait for a connection."""

_IDLE = 4.0
"""Seconds a connection is kept without use: below the 5 of uvicorn, which serves vLLM, so that
no request goes out on one that the server is about to close."""

_LARGE = 1 << 20
"""Bytes from which aiohttp wants a body as a file."""


class OpenAIBackend:
    """Asks a model at an OpenAI-compatible server; see seqit.llm.backend.Backend.

    base_url, api_key: OPENAI_BASE_URL and OPENAI_API_KEY where not given. timeout: seconds for
    one answer. extra_body: merged into every request; null leaves a key out. structured: whether
    the server honours response_format. image_side: longest side of an image, in pixels.
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
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._broken: Exception | None = None  # what ended the thread before its time
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._done: list[tuple[int, RequestOutcome]] = []

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer: server, model, extra body, size of images."""
        return {
            "kind": "openai",
            "base_url": self.server.base_url,
            "model": self.model,
            "extra_body": self._extra,
            "image_side": self._image_side,
        }

    def body_of(self, request: Request) -> dict[str, Any] | FailedRequest:
        """Return the body that asks for a completion; Failed where an image cannot be sent."""
        try:
            return chat_body(
                request,
                self.model,
                image_url=partial(as_data_url, longest_side=self._image_side),
                extra=self._extra,
                structured=self.structured,
                limit="max_completion_tokens" if self.server.is_openai else "max_tokens",
            )
        except RowError as error:
            return FailedRequest("bad-image", str(error))
        except SeqitError as error:  # Pillow is missing
            return FailedRequest("config", str(error), fatal=True)

    def answer_of(
        self, status: int, headers: Mapping[str, str], raw: bytes, body: Mapping[str, Any]
    ) -> RequestOutcome:
        """Return what the server's answer to `body` says."""
        success = 200 <= status < 300
        if success:
            answer = read_completion(raw, self.model)
            if isinstance(answer, Completion):
                return answer
        raw = self.server.redact(raw)
        if success:
            failed = read_completion(raw, self.model)
        else:
            failed = failure_of_status(status, headers, raw, body, self.model)
        said = {"status": status, "response": shorten(raw.decode("utf-8", "replace"), 500)}
        return replace(failed, evidence=said) if isinstance(failed, FailedRequest) else failed

    def open(self, deliver: Deliver) -> None:
        """Start the thread; the first request connects. Raises UsageError without a key."""
        self.server.check_key()
        self._deliver = deliver
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="openai", daemon=True)
        self._thread.start()
        ready.wait()
        self._check()

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Take requests, each with its ticket; returns at once."""
        self._loop.call_soon_threadsafe(self._begin, batch)

    def wait(self, timeout: float | None) -> None:
        """Return after a delivery, `wake`, or so many seconds; raises what broke the thread."""
        # Whatever is delivered before the flag is cleared is seen by the caller, who looks after.
        self._news.wait(timeout)
        self._news.clear()
        self._check()

    def wake(self) -> None:
        """Make a `wait` in another thread return."""
        self._news.set()

    def close(self) -> None:
        """Drop what is in flight and end the thread."""
        thread, self._thread = self._thread, None
        if thread and thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def _check(self) -> None:
        if self._broken:
            raise self._broken

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            self._broken = error
        finally:
            ready.set()
            self._news.set()

    async def _serve(self, ready: threading.Event) -> None:
        """Hold the connections open until `close`; what is in flight then is dropped."""
        import aiohttp

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._url = self.server.url("chat/completions")
        # The dispatcher bounds what is in flight: a second bound here would be a hidden queue.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self.server.headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECTING),
        ) as self._session:
            ready.set()
            await self._stop.wait()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.clear()
            self._flush()

    def _begin(self, batch: list[tuple[int, Request]]) -> None:
        for ticket, request in batch:
            self._tasks[ticket] = self._loop.create_task(self._work(ticket, request))

    async def _work(self, ticket: int, request: Request) -> None:
        try:
            answer = await self._answer(request)
        except Exception as error:  # a defect: the run must end, not wait for ever
            self._broken = error
            self._news.set()
            return
        del self._tasks[ticket]
        if not self._done:  # all that is done by the loop's next turn goes out together
            self._loop.call_soon(self._flush)
        self._done.append((ticket, answer))

    def _flush(self) -> None:
        done, self._done = self._done, []
        if not done:
            return
        try:
            self._deliver(done)
        except Exception as error:
            self._broken = error
        self._news.set()

    async def _answer(self, request: Request) -> RequestOutcome:
        if has_images(request.messages):
            body = await asyncio.to_thread(self.body_of, request)
        else:
            body = self.body_of(request)
        if isinstance(body, FailedRequest):
            return body
        try:
            data = orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            return FailedRequest("bad-request", f"the request cannot be written as JSON: {error}")
        return await self._exchange(data, body)

    async def _exchange(self, data: bytes, body: dict[str, Any]) -> RequestOutcome:
        from aiohttp import ClientError

        sent = data if len(data) < _LARGE else io.BytesIO(data)
        try:
            # Redirects are not followed: key and prompts go to no address but the user's.
            async with self._session.post(
                self._url, data=sent, proxy=self.server.proxy, allow_redirects=False
            ) as response:
                raw = await response.read()
        except (ClientError, OSError) as error:
            return failure_of_exception(error, self.server.base_url, self._timeout)
        return self.answer_of(response.status, response.headers, raw, body)
