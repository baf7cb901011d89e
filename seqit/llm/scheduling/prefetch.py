"""Items read ahead in a thread, so that a source that waits does not hold back what is done."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Reads `items` in a thread, at most `ahead` of what is taken; `notify` tells of them.

    `error` is what reading them raised, if anything, once the feeder is exhausted.
    """

    def __init__(self, items: Iterable[Item], ahead: int, notify: Callable[[], None]) -> None:
        self._items = items
        self._ahead = ahead
        self._notify = notify
        self._ready: deque[Item] = deque()
        self._room = threading.Condition()
        self.error: BaseException | None = None
        self._ended = self._closed = False
        # A daemon: a thread that waits for standard input cannot be asked to end.
        self._thread = threading.Thread(target=self._read, name="feeder", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._room:
                    while len(self._ready) >= self._ahead and not self._closed:
                        self._room.wait()
                    if self._closed:
                        return
                    was_empty = not self._ready
                    self._ready.append(item)
                    self._room.notify_all()
                if was_empty:  # else whoever takes items knows of some
                    self._notify()
        except BaseException as error:  # for the thread that takes the items
            self.error = error
        with self._room:
            self._ended = True
            self._room.notify_all()
        self._notify()

    def take(self, most: int) -> list[Item]:
        """Return up to `most` items that are there."""
        with self._room:
            taken = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
            self._room.notify_all()
        return taken

    def wait(self) -> None:
        """Wait until an item is there, or none will come."""
        with self._room:
            self._room.wait_for(lambda: self._ready or self._ended)

    @property
    def exhausted(self) -> bool:
        """Whether nothing will come any more."""
        return self._ended and not self._ready

    def close(self) -> None:
        """Read no further; the thread ends when its source gives it the next item."""
        with self._room:
            self._closed = True
            self._room.notify_all()
