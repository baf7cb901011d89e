"""Runs many model calls concurrently and yields their results in the order of the items."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import RequestOutcome
from seqit.llm.scheduling.prefetch import Prefetcher
from seqit.llm.scheduling.sender import Progress, Sender

T = TypeVar("T")
Item = TypeVar("Item")

READ_AHEAD = 64
"""Items to read before there is room for them in the window."""
PROGRESS_INTERVAL = 0.2
"""Seconds between two reports of the progress."""


@dataclass(slots=True, eq=False)
class _Slot:
    """One item in the window and its call; `call` is None once `result` is set."""

    item: Any
    index: int  # among all items
    call: ModelCall[Any] | None
    result: Any = None


class Scheduler:
    """Runs model calls (seqit.llm.model_call) over one sender.

    One thread drives all calls; another reads the items ahead. `window` is the number of items in
    progress at once, including finished ones that wait for their turn. Requests of earlier items
    are sent first: calls that have started finish before others start, so results come out early,
    and a stopped run has finished nearly all that it paid for. With `fill_window` no outcome is
    awaited before the window is full or the items are exhausted, for a backend that collects its
    requests into batches.
    """

    def __init__(self, sender: Sender[_Slot], window: int, fill_window: bool = False) -> None:
        self.before_wait: Callable[[], None] | None = None
        """Called before each wait, so that the caller can flush what was yielded."""
        self.on_progress: Callable[[Progress], None] | None = None
        """Called with the progress, about five times a second."""
        self._sender = sender
        self._window = window
        self._fill_window = fill_window
        self._reported_at = 0.0

    @property
    def progress(self) -> Progress:
        return self._sender.progress

    def __enter__(self) -> "Scheduler":
        self._sender.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._sender.close()

    def run(
        self, items: Iterable[Item], make_call: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its call returned, or the call's CompletionFailed, in order.

        The unusable completions of failed calls are removed from the cache at the end: a killed
        run resumes where it was, and the run after a finished one requests them again. Raises what
        `items` raise, after the items before it, and SeqitError if the server is gone.
        """
        prefetcher = Prefetcher(items, READ_AHEAD, self._sender.wake)
        window: deque[_Slot] = deque()
        indices = itertools.count()
        failed_keys: list[bytes] = []  # not the requests, which are far larger
        try:
            while window or not prefetcher.exhausted:
                for slot, outcome in self._sender.collect():
                    self._advance(slot, outcome)
                while window and window[0].call is None:
                    slot = window.popleft()
                    if isinstance(slot.result, CompletionFailed):
                        failed_keys += map(self._sender.key, slot.result.requests)
                    self.progress.items += 1
                    yield slot.item, slot.result
                taken = prefetcher.take(self._window - len(window))
                for item in taken:
                    slot = _Slot(item, next(indices), make_call(item))
                    window.append(slot)
                    self._advance(slot, None)
                self._sender.send()
                idle = not taken and not (window and window[0].call is None)
                has_room = len(window) < self._window and not prefetcher.exhausted
                if idle and self._fill_window and has_room:
                    prefetcher.wait()
                elif idle and (window or not prefetcher.exhausted):
                    self._wait()
        finally:
            prefetcher.close()
        if prefetcher.error:
            raise prefetcher.error
        self._sender.forget(failed_keys)

    def _advance(self, slot: _Slot, outcome: RequestOutcome | None) -> None:
        """Send a call its outcome and run it until it needs a completion that is not cached."""
        assert slot.call is not None
        try:
            while True:
                request = slot.call.send(outcome)  # type: ignore[arg-type]  # None starts it
                outcome = self._sender.enqueue(request, slot, slot.index)
                if outcome is None:
                    return
        except StopIteration as end:
            slot.result = end.value
        except CompletionFailed as failure:
            slot.result = failure
        slot.call = None

    def _wait(self) -> None:
        if self.before_wait:
            self.before_wait()
        self._sender.wait(PROGRESS_INTERVAL if self.on_progress else None)
        now = time.monotonic()
        if self.on_progress and now - self._reported_at >= PROGRESS_INTERVAL:
            self._reported_at = now
            self.on_progress(self.progress)
