"""The provider's Batch API: submit, leave, come back, collect; at half the price.

Each wave of requests (what all rows ask before any can go on) becomes one or several batches.
Which request lies in which batch is kept in the cache's file, so that the same command, run again,
collects what is finished and submits the next wave.
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
from seqit.llm.providers.openai.batch.answers import has_ended, status_of
from seqit.llm.providers.openai.batch.api import PAUSES, BatchAPI, NotFound, UnknownResult
from seqit.llm.providers.openai.batch.collecting import Collector, SubmittedBatch
from seqit.llm.providers.openai.batch.posting import Submitter
from seqit.llm.providers.openai.batch.requests import Delivery, PendingRequests
from seqit.llm.providers.openai.batch.store import BatchStore
from seqit.llm.providers.openai.batch.writing import MOST_REQUESTS, write_batch
from seqit.llm.request import Request

FIRST_LOOK, LAST_LOOK = 5.0, 60.0
"""Seconds between two looks at the batches when waiting, growing from the one to the other."""


class BatchPending(SeqitError):
    """All that is asked lies with the provider: nothing is lost, the same command collects it."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class OpenAIBatchBackend:
    """Asks a model by batches; see Backend for the methods, OpenAIBackend for the other options.

    `wait` closes the wave: what was submitted until then goes into batches, so the dispatcher is
    to gather all the rows that its window holds first. Where no batch has ended `wait` raises
    Pending, or stays until one has if `stay` is set. What may succeed later is submitted again, a
    few times; a failure that is delivered is final. Where a completion lies is forgotten once it
    is in the cache, where a failure lies when the run has come to its end.

    cache: the file of the completion cache. tell: gets a sentence for each batch submitted.
    most_requests: in one batch. settle: seconds after which a batch that was sent off without an
    answer, and is not listed, was never received. pauses: seconds before further tries of a call.
    """

    def __init__(
        self,
        model: str,
        *,
        cache: Path,
        stay: bool = False,
        tell: Callable[[str], None] | None = None,
        most_requests: int = MOST_REQUESTS,
        settle: float = 30.0,
        pauses: tuple[float, ...] = PAUSES,
        **options: Any,
    ) -> None:
        self._asks = OpenAIBackend(model, **options)
        self.name, self.structured = self._asks.name, self._asks.structured
        self.capacity = 0
        self._cache = cache
        self._stay = stay
        self._tell = tell or (lambda message: None)
        self._most_requests = most_requests
        self._settle = settle
        self._api = BatchAPI(self._asks.server, model, pauses=pauses)
        self._requests = PendingRequests()
        self._lying: dict[int, SubmittedBatch] = {}
        self._ended: deque[SubmittedBatch] = deque()
        self._incoming: Iterator[Delivery] = iter(())
        self._at_hand: Delivery = []  # answers that come from no batch
        self._interval, self._next_look = FIRST_LOOK, 0.0
        self._woken = threading.Event()
        self._is_open = False

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer, as OpenAIBackend has it: a completion is the same to both."""
        return self._asks.identity()

    def open(self, deliver: Deliver) -> None:
        """Open the ledger; raises UsageError without a key, SeqitError without a cache's file."""
        self._asks.server.check_key()
        self._deliver = deliver
        self._ledger = BatchStore(self._cache, self._asks.server.base_url, self._asks.model)
        self._known = Cache(self._cache, self.identity())
        self._is_open = True
        self._poster = Submitter(self._api, self._ledger, self._cache, self._settle, self._tell)
        self._collector = Collector(self._requests, self._ledger, self._api, self._asks)

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Take requests, each with its ticket; nothing is sent before `wait`."""
        for ticket, request in batch:
            self._requests.ask(self._known.key(request), request, ticket)

    def wait(self, timeout: float | None) -> None:
        """Deliver a part of what has ended; before that, submit what is new and look.

        Raises BatchPending where nothing has ended and it is not to stay; SeqitError where the
        provider cannot be reached or refuses a batch.
        """
        while not self._hand_over():
            if self._requests.new or (self._requests.fresh and self._has_room()):
                self._close_wave()
            elif self._lying and time.monotonic() >= self._next_look:
                self._look()
            elif self._requests.open and not self._stay:
                raise BatchPending(self._stats())
            else:
                self._rest(timeout)
                return

    def wake(self) -> None:
        """Make a `wait` in another thread return."""
        self._woken.set()

    def close(self) -> None:
        """Close the ledger; where nothing is open, it forgets what failed."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if not self._requests.open:  # the end: the next run asks anew for what failed
                self._ledger.forget(self._requests.failed)
                self._ledger.forget_refusals()
        finally:
            self._ledger.close()
            self._known.close()

    def _hand_over(self) -> bool:
        """Deliver a chunk of what is there; say whether anything was."""
        chunk, self._at_hand = self._at_hand, []
        chunk = chunk or next(filter(None, self._incoming), [])
        if not chunk:
            return False
        self._deliver(chunk)
        self._ledger.forget_kept(self._requests.completed)
        self._requests.completed.clear()
        return True

    def _rest(self, timeout: float | None) -> None:
        """Wait for `wake`, so many seconds, or the next look."""
        left = max(0.0, self._next_look - time.monotonic()) if self._lying else None
        bounds = [each for each in (timeout, left) if each is not None]
        self._woken.wait(min(bounds, default=None))
        self._woken.clear()

    def _close_wave(self) -> None:
        """See that every request lies in a batch, as far as the provider has room."""
        with self._poster.alone():
            self._poster.recover()
            for key in self._requests.new:
                self._find_place(key)
            self._requests.new.clear()
            while self._requests.fresh and self._has_room():
                self._submit_one()

    def _find_place(self, key: bytes) -> None:
        """Find the batch into which an earlier run has put a request."""
        place = self._ledger.place(key)
        if place is None and self._ledger.is_kept(key) and (known := self._known.get(key)):
            # A run beside this one has collected it since the dispatcher has looked.
            self._at_hand += self._requests.finish(key, known)
            return
        if place is None:
            self._requests.fresh.append(key)
            return
        if place.number not in self._lying:
            self._lying[place.number] = SubmittedBatch(self._ledger.batch(place.number))
            self._next_look = 0.0
        self._lying[place.number].keys.add(key)
        asked = self._requests.open[key]
        asked.line, asked.tries = place.line, place.tries

    def _has_room(self) -> bool:
        """Say whether a batch may be submitted; where one was too large, only by itself."""
        return not self._lying or self._ledger.too_many() is None

    def _submit_one(self) -> None:
        """Put the first fresh requests into a batch, as many as it takes."""
        refused = self._ledger.too_many() or 2 * self._most_requests
        most = max(1, min(self._most_requests, refused // 2))
        with tempfile.TemporaryFile() as file:
            keys, self._at_hand[len(self._at_hand) :] = write_batch(
                self._requests, self._asks, file, most
            )
            if not keys:
                return
            tries = [(key, self._requests.open[key].tries + 1) for key in keys]
            batch = self._poster.post(tries, file)
        self._requests.submitted(keys)
        self._lying[batch.number] = SubmittedBatch(batch, set(keys))
        self._interval = FIRST_LOOK

    def _look(self) -> None:
        """Ask how the batches stand; what has ended is delivered next."""
        for number, lying in list(self._lying.items()):
            try:
                lying.seen = self._api.batch(lying.batch.id or "")
            except NotFound:  # deleted, and its files too
                lying.seen = {"status": "cancelled"}
            except UnknownResult as error:
                if not self._stay:
                    raise
                self._tell(f"{error}; the batches go on, and are looked at again")
            if has_ended(lying.seen):
                self._ended.append(self._lying.pop(number))
        if self._ended:
            self._incoming, self._interval = self._collect(), FIRST_LOOK
        self._next_look = time.monotonic() + self._interval
        self._interval = min(LAST_LOOK, self._interval * 1.5)

    def _collect(self) -> Iterator[Delivery]:
        while self._ended:
            yield from self._collector.collect(self._ended.popleft())

    def _stats(self) -> str:
        """Return where everything is, and what to do."""
        count = sum(len(lying.keys) for lying in self._lying.values())
        batches = ", ".join(map(_standing, self._lying.values()))
        said = f"{count:,} requests lie with {self._asks.server.base_url} in batches: {batches}."
        if self._requests.fresh:
            said += f" {len(self._requests.fresh):,} more wait for room in its queue."
        return (
            f"{said} Nothing is lost: run the same command again to collect them and go on, or "
            "add --wait to stay until they are done"
        )


def _standing(lying: SubmittedBatch) -> str:
    """Return a batch's id and how it stands, as in ``batch_1 (in progress, 20 of 50)``."""
    said = status_of(lying.seen).replace("_", " ") if lying.seen else "submitted"
    counts = lying.seen.get("request_counts") or {}
    if counts.get("total"):
        said += f", {counts.get('completed', 0):,} of {counts['total']:,}"
    return f"{lying.batch.id} ({said})"
