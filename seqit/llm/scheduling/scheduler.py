"""The dispatcher: many works side by side, their results in the order of the items."""

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
"""Items read before there is room for them in the window."""
WATCHED = 0.2
"""Seconds between two looks at the progress."""


@dataclass(slots=True, eq=False)
class _Slot:
    """One item in the window and its work; `asking` is None once the work has its result."""

    item: Any
    place: int  # among all items
    asking: ModelCall[Any] | None
    result: Any = None


class Scheduler:
    """Runs works, which are generators of requests (seqit.llm.model_call), over one sender.

    One thread drives all works; another reads the items ahead. `window` is how many items are
    under way at once, also those that are done and wait for their turn. Requests of earlier items
    are sent first: a work that has begun comes to its end before others begin, so results come
    out early, and a run that is stopped has finished nearly all that it paid for. With `gather`
    no answer is waited for while items are still to come: for a backend that answers in waves.
    """

    def __init__(self, sender: Sender[_Slot], window: int, gather: bool = False) -> None:
        self.before_wait: Callable[[], None] | None = None
        """Called before each wait, so that what was yielded can be passed on first."""
        self.watch: Callable[[Progress], None] | None = None
        """Called with the progress, about five times a second."""
        self._sender = sender
        self._window = window
        self._gather = gather
        self._looked = 0.0

    @property
    def progress(self) -> Progress:
        return self._sender.progress

    def __enter__(self) -> "Scheduler":
        self._sender.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._sender.close()

    def run(
        self, items: Iterable[Item], work: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its work returned, or why it has no answer, in order.

        Completions that were no answers, of works that failed, are forgotten when all is done: a
        run that was killed goes on where it was, and one that follows asks for them anew.
        Raises what `items` raise, after the items before, and SeqitError where nobody answers.
        """
        feeder = Prefetcher(items, READ_AHEAD, self._sender.wake)
        window: deque[_Slot] = deque()
        places = itertools.count()
        useless: list[bytes] = []  # keys: requests would be far larger
        try:
            while window or not feeder.exhausted:
                for slot, answer in self._sender.settle():
                    self._go_on(slot, answer)
                while window and window[0].asking is None:
                    slot = window.popleft()
                    if isinstance(slot.result, CompletionFailed):
                        useless += map(self._sender.key, slot.result.requests)
                    self.progress.items += 1
                    yield slot.item, slot.result
                taken = feeder.take(self._window - len(window))
                for item in taken:
                    slot = _Slot(item, next(places), work(item))
                    window.append(slot)
                    self._go_on(slot, None)
                self._sender.send()
                idle = not taken and not (window and window[0].asking is None)
                if idle and self._gather and len(window) < self._window and not feeder.exhausted:
                    feeder.wait()
                elif idle and (window or not feeder.exhausted):
                    self._wait()
        finally:
            feeder.close()
        if feeder.error:
            raise feeder.error
        self._sender.forget(useless)

    def _go_on(self, slot: _Slot, answer: RequestOutcome | None) -> None:
        """Give a work its answer, and go on with it until it asks what is not known yet."""
        assert slot.asking is not None
        try:
            while True:
                request = slot.asking.send(answer)  # type: ignore[arg-type]  # None starts it
                answer = self._sender.ask(request, slot, slot.place)
                if answer is None:
                    return
        except StopIteration as end:
            slot.result = end.value
        except CompletionFailed as failure:
            slot.result = failure
        slot.asking = None

    def _wait(self) -> None:
        if self.before_wait:
            self.before_wait()
        self._sender.wait(WATCHED if self.watch else None)
        now = time.monotonic()
        if self.watch and now - self._looked >= WATCHED:
            self._looked = now
            self.watch(self.progress)
