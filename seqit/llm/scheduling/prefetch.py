"""Reads items ahead in a thread, so that a slow source does not delay finished results."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Reads `items` in a thread, at most `max_ahead` before they are taken.

    `notify` is called when items arrive and at the end. `error` is the exception that the source
    raised, if any, once the prefetcher is exhausted.
    """

    def __init__(self, items: Iterable[Item], max_ahead: int, notify: Callable[[], None]) -> None:
        self._items = items
        self._max_ahead = max_ahead
        self._notify = notify
        self._ready: deque[Item] = deque()
        self._changed = threading.Condition()
        self.error: BaseException | None = None
        self._ended = self._closed = False
        # A daemon: a thread that waits for standard input cannot be stopped.
        self._thread = threading.Thread(target=self._read, name="prefetcher", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    while len(self._ready) >= self._max_ahead and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
                    was_empty = not self._ready
                    self._ready.append(item)
                    self._changed.notify_all()
                if was_empty:  # else the consumer was notified already
                    self._notify()
        except BaseException as error:  # raised again by the consumer
            self.error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._notify()

    def take(self, limit: int) -> list[Item]:
        """Return up to `limit` of the items read so far, without waiting."""
        with self._changed:
            taken = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
            self._changed.notify_all()
        return taken

    def wait(self) -> None:
        """Wait until an item is ready or the source is exhausted."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)

    @property
    def exhausted(self) -> bool:
        """Whether all items were taken and the source has ended."""
        return self._ended and not self._ready

    def close(self) -> None:
        """Stop reading; the thread ends when its source yields the next item."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
