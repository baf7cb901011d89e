"""The backend for a provider's Batch API: half the price, with results within 24 hours.

Each wave of requests (those that all rows make before any can continue) becomes one or more
batches. Which request is in which batch is stored in the cache's file, so that the same command,
run again, collects what is finished and submits the next wave.
"""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.backend import Deliver
from seqit.llm.cache.cache import Cache
from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import RETRY_PAUSES, BatchAPI, NotFound, UnknownResult
from seqit.llm.providers.openai.batch.collector import Collector, SubmittedBatch
from seqit.llm.providers.openai.batch.pending import Delivery, PendingRequests
from seqit.llm.providers.openai.batch.request_file import MAX_REQUESTS, write_batch
from seqit.llm.providers.openai.batch.results import has_ended, status_of
from seqit.llm.providers.openai.batch.store import BatchStore
from seqit.llm.providers.openai.batch.submitter import Submitter
from seqit.llm.request import Request

FIRST_INTERVAL, LAST_INTERVAL = 5.0, 60.0
"""Seconds between two polls of the batches, growing from the first to the second."""


class BatchPending(SeqitError):
    """All requests are in batches at the provider; the same command, run again, collects them."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class OpenAIBatchBackend:
    """Uses a model by batches; see Backend for the methods, OpenAIBackend for the other options.

    `wait` ends the wave: what was submitted until then is put into batches, so the scheduler should
    first fill its window. If no batch has ended, `wait` raises BatchPending, or blocks until one
    has if `block` is set. Retryable failures are submitted again up to MAX_SUBMISSIONS times; a
    delivered failure is final. A request's position is removed once its completion is cached, or,
    if it failed, when the run is complete.

    cache: the file of the completion cache. notify: called with a sentence for each batch
    submitted. max_requests: in one batch. listing_delay: seconds after which a batch whose
    submission got no response, and which is not listed, is taken as not received. pauses: seconds
    before each retry of a call.
    """

    def __init__(
        self,
        model: str,
        *,
        cache: Path,
        block: bool = False,
        notify: Callable[[str], None] | None = None,
        max_requests: int = MAX_REQUESTS,
        listing_delay: float = 30.0,
        pauses: tuple[float, ...] = RETRY_PAUSES,
        **options: Any,
    ) -> None:
        self._chat = OpenAIBackend(model, **options)
        self.name, self.structured = self._chat.name, self._chat.structured
        self.capacity = 0
        self._cache_path = cache
        self._block = block
        self._notify = notify or (lambda message: None)
        self._max_requests = max_requests
        self._listing_delay = listing_delay
        self._api = BatchAPI(self._chat.server, model, pauses=pauses)
        self._requests = PendingRequests()
        self._submitted: dict[int, SubmittedBatch] = {}
        self._ended_batches: deque[SubmittedBatch] = deque()
        self._chunks: Iterator[Delivery] = iter(())
        self._ready: Delivery = []  # outcomes without a batch
        self._interval, self._next_poll = FIRST_INTERVAL, 0.0
        self._wake_event = threading.Event()
        self._is_open = False

    def identity(self) -> dict[str, Any]:
        """Return the identity of OpenAIBackend, so that both share their cached completions."""
        return self._chat.identity()

    def open(self, deliver: Deliver) -> None:
        """Open the store; raises UsageError without a key, SeqitError if the file is unusable."""
        self._chat.server.check_key()
        self._deliver = deliver
        self._store = BatchStore(self._cache_path, self._chat.server.base_url, self._chat.model)
        self._completion_cache = Cache(self._cache_path, self.identity())
        self._is_open = True
        self._submitter = Submitter(
            self._api, self._store, self._cache_path, self._listing_delay, self._notify
        )
        self._collector = Collector(self._requests, self._store, self._api, self._chat)

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests, each with its ticket; nothing is sent before `wait`."""
        for ticket, request in batch:
            self._requests.add(self._completion_cache.key(request), request, ticket)

    def wait(self, timeout: float | None) -> None:
        """Deliver outcomes of ended batches; before that, submit new requests and poll.

        Raises BatchPending if no batch has ended and `block` is not set, SeqitError if the
        provider cannot be reached or refuses a batch.
        """
        while not self._deliver_some():
            if self._requests.new or (self._requests.unsubmitted and self._has_room()):
                self._submit_wave()
            elif self._submitted and time.monotonic() >= self._next_poll:
                self._poll()
            elif self._requests.open and not self._block:
                raise BatchPending(self._pending_message())
            else:
                self._sleep(timeout)
                return

    def wake(self) -> None:
        """Make a `wait` in another thread return."""
        self._wake_event.set()

    def close(self) -> None:
        """Close the store; if no request is open, it forgets the failed ones."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if not self._requests.open:  # the run is complete: the next one retries what failed
                self._store.forget(self._requests.failed)
                self._store.forget_refusals()
        finally:
            self._store.close()
            self._completion_cache.close()

    def _deliver_some(self) -> bool:
        """Deliver the next chunk of outcomes; returns whether there was one."""
        chunk, self._ready = self._ready, []
        chunk = chunk or next(filter(None, self._chunks), [])
        if not chunk:
            return False
        self._deliver(chunk)
        self._store.forget_cached(self._requests.completed)
        self._requests.completed.clear()
        return True

    def _sleep(self, timeout: float | None) -> None:
        """Wait for `wake`, `timeout` seconds, or the next poll."""
        remaining = max(0.0, self._next_poll - time.monotonic()) if self._submitted else None
        bounds = [each for each in (timeout, remaining) if each is not None]
        self._wake_event.wait(min(bounds, default=None))
        self._wake_event.clear()

    def _submit_wave(self) -> None:
        """Submit every request that is not in a batch, as far as the provider has room."""
        with self._submitter.lock():
            self._submitter.recover()
            for key in self._requests.new:
                self._restore(key)
            self._requests.new.clear()
            while self._requests.unsubmitted and self._has_room():
                self._submit_one()

    def _restore(self, key: bytes) -> None:
        """Restore the batch in which an earlier run submitted a request, if any."""
        position = self._store.position(key)
        if (
            position is None
            and self._store.is_cached(key)
            and (cached := self._completion_cache.get(key))
        ):
            # Another run has collected it since the sender looked it up.
            self._ready += self._requests.finish(key, cached)
            return
        if position is None:
            self._requests.unsubmitted.append(key)
            return
        if position.number not in self._submitted:
            self._submitted[position.number] = SubmittedBatch(self._store.batch(position.number))
            self._next_poll = 0.0
        self._submitted[position.number].keys.add(key)
        pending = self._requests.open[key]
        pending.line, pending.tries = position.line, position.tries

    def _has_room(self) -> bool:
        """Return whether a batch may be submitted; one at a time once a batch was too large."""
        return not self._submitted or self._store.smallest_refused() is None

    def _submit_one(self) -> None:
        """Submit a batch of the first unsubmitted requests, as many as fit."""
        smallest_refused = self._store.smallest_refused() or 2 * self._max_requests
        max_requests = max(1, min(self._max_requests, smallest_refused // 2))
        with tempfile.TemporaryFile() as file:
            keys, self._ready[len(self._ready) :] = write_batch(
                self._requests, self._chat, file, max_requests
            )
            if not keys:
                return
            tries = [(key, self._requests.open[key].tries + 1) for key in keys]
            batch = self._submitter.submit(tries, file)
        self._requests.mark_submitted(keys)
        self._submitted[batch.number] = SubmittedBatch(batch, set(keys))
        self._interval = FIRST_INTERVAL

    def _poll(self) -> None:
        """Update the status of the batches; the outcomes of ended ones are delivered next."""
        for number, submitted in list(self._submitted.items()):
            try:
                submitted.latest = self._api.batch(submitted.batch.id or "")
            except NotFound:  # deleted, as are its files
                submitted.latest = {"status": "cancelled"}
            except UnknownResult as error:
                if not self._block:
                    raise
                self._notify(f"{error}; the batches continue and are polled again")
            if has_ended(submitted.latest):
                self._ended_batches.append(self._submitted.pop(number))
        if self._ended_batches:
            self._chunks, self._interval = self._collect(), FIRST_INTERVAL
        self._next_poll = time.monotonic() + self._interval
        self._interval = min(LAST_INTERVAL, self._interval * 1.5)

    def _collect(self) -> Iterator[Delivery]:
        while self._ended_batches:
            yield from self._collector.collect(self._ended_batches.popleft())

    def _pending_message(self) -> str:
        """Return the message of BatchPending: the state of the batches, and what to do."""
        count = sum(len(submitted.keys) for submitted in self._submitted.values())
        batches = ", ".join(map(_describe_batch, self._submitted.values()))
        url = self._chat.server.base_url
        message = f"{count:,} requests are in batches at {url}: {batches}."
        if self._requests.unsubmitted:
            message += f" {len(self._requests.unsubmitted):,} more wait for room in its queue."
        return (
            f"{message} Nothing is lost: run the same command again to collect them and continue, "
            "or add --wait to wait until they are done"
        )


def _describe_batch(submitted: SubmittedBatch) -> str:
    """Return a batch's id and status, such as ``batch_1 (in progress, 20 of 50)``."""
    status = status_of(submitted.latest).replace("_", " ") if submitted.latest else "submitted"
    counts = submitted.latest.get("request_counts") or {}
    if counts.get("total"):
        status += f", {counts.get('completed', 0):,} of {counts['total']:,}"
    return f"{submitted.batch.id} ({status})"
