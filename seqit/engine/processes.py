"""One function over many items in several processes, the results in the order of the items.

    feeder ─▶ worker ─▶ this process
           ─▶ worker ─▶

Each arrow is a pipe, and all flow one way: a full pipe makes its writer wait, so memory stays flat
and no two processes can wait for each other. The feeder deals batches out in turn, and results are
taken in the same turn: that keeps the order. Reading has a process of its own because a read may
wait for input, while results of earlier input are to go out.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

from seqit.engine.channel import Channel, sendable
from seqit.errors import SeqitError

T = TypeVar("T")
R = TypeVar("R")
Function = Callable[[list[T]], list[R]]

ALONE = 2 << 20
"""Weight of the items that this process does itself: fewer are done before workers have started."""

BATCH = 1 << 17
"""Weight of a batch. A larger one costs less to send, and keeps the last workers busy longer."""


def usable_cpus() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerPool:
    """Processes that share the work of `map`; none is left when the ``with`` block ends.

    They are forked once enough items have come to be worth it; items and results are pickled, the
    function is not. `before_wait` is called before this process waits for something.
    """

    def __init__(self, count: int) -> None:
        self.before_wait: Callable[[], None] = lambda: None
        self._count = count
        self._children: list[int] = []
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def about_to_wait(self) -> None:
        """Hand on what has been gathered; `batches` calls it before a read that may wait."""
        self.before_wait()

    def map(
        self, function: Function[T, R], batches: Iterable[list[T]], weigh: Callable[[T], int]
    ) -> Iterator[R]:
        """Yield the results of `function` over lists of items, in the order of the items.

        A batch holds what has come when the next may have to be waited for. `weigh` gives an
        item's size in bytes; items of weight 0 alone never start a worker. Once workers have
        started, `batches` goes on in another process: what it changes stays there. An exception
        in either is raised here, in its turn. Raises SeqitError where a process died.
        """
        rest = iter(batches)
        weight = 0
        for batch in rest:
            yield from function(batch)
            weight += sum(map(weigh, batch))
            if self._count > 1 and weight >= ALONE:
                yield from self._spread(function, rest, weigh)
                return

    def _spread(
        self, function: Function[T, R], batches: Iterator[list[T]], weigh: Callable[[T], int]
    ) -> Iterator[R]:
        feeds = [Channel() for _ in range(self._count)]
        returns = [Channel() for _ in range(self._count)]
        life = Channel()
        self._files = [file for pipe in (*feeds, *returns, life) for file in pipe.files]
        with _signals_held() as held:
            for feed, back in zip(feeds, returns, strict=True):
                self._fork(held, (feed.reader, back.writer), partial(_work, function, feed, back))
            body = partial(self._feed, _Dealer(feeds), batches, weigh, life)
            self._fork(held, (life.reader, *(feed.writer for feed in feeds)), body)
        self._close_all_but([life.writer, *(back.reader for back in returns)])
        try:
            yield from self._collect(returns)
        finally:
            self._stop()

    def _collect(self, returns: list[Channel]) -> Iterator[Any]:
        for number in cycle(range(self._count)):
            self.before_wait()
            try:
                message = returns[number].receive()
            except EOFError:
                raise SeqitError(self._obituary(number)) from None
            if message is None:
                return
            if isinstance(message, Exception):
                raise message
            yield from message

    def _feed(
        self,
        dealer: "_Dealer[T]",
        batches: Iterator[list[T]],
        weigh: Callable[[T], int],
        life: Channel,
    ) -> None:
        """Deal out all items; runs in the feeder."""
        # Blocked in a read it would not notice that nobody is left to read for.
        threading.Thread(target=_die_with, args=(life,), daemon=True).start()
        self.before_wait = dealer.send
        try:
            dealer.deal(batches, weigh)
            dealer.send()
        except Exception as error:
            dealer.send()
            dealer.pass_on(sendable(error))
        else:
            dealer.pass_on(None)

    def _fork(self, held: set[int], ends: Iterable[IO[bytes]], body: Callable[[], None]) -> None:
        child = os.fork()
        if child:
            self._children.append(child)
            return
        code = 1
        try:
            # Ctrl-C goes to all processes at a terminal; the parent alone decides what it means.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            self._close_all_but(ends)  # a pipe ends when nobody holds its writing end
            body()
            code = 0
        finally:
            # Without unwinding the stack: the parent's files and buffers are not for the child
            # to flush.
            os._exit(code)

    def _close_all_but(self, ends: Iterable[IO[bytes]]) -> None:
        kept = list(ends)
        for file in self._files:
            if file not in kept:
                file.close()
        self._files = kept

    def _obituary(self, number: int) -> str:
        """Return the sentence about the worker whose pipe ended before the work did."""
        *workers, feeder = self._children
        code = self._reap(workers[number])
        if code == 0:  # it ended since nothing more can come
            code = self._reap(feeder)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return (
            f"a worker process was ended {how}, perhaps since memory ran out, and rows are "
            "missing; run it again with fewer workers"
        )

    def _reap(self, child: int) -> int:
        self._children.remove(child)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _stop(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGKILL)  # it holds nothing that is worth saving
        while self._children:
            self._reap(self._children[-1])
        self._close_all_but(())


class _Dealer(Generic[T]):
    """Gathers items and deals them out, a batch to each worker in turn."""

    def __init__(self, feeds: list[Channel]) -> None:
        self._turn = cycle(feeds)
        self._batch: list[T] = []
        self._weight = 0

    def deal(self, batches: Iterable[list[T]], weigh: Callable[[T], int]) -> None:
        for batch in batches:
            for item in batch:
                self._batch.append(item)
                self._weight += weigh(item)
                if self._weight >= BATCH:
                    self.send()

    def send(self) -> None:
        if self._batch:
            self.pass_on(self._batch)
            self._batch = []
            self._weight = 0

    def pass_on(self, message: list[T] | Exception | None) -> None:
        next(self._turn).send(message)


def _work(function: Function[T, R], feed: Channel, back: Channel) -> None:
    """Answer batches until there are no more; None and errors are passed on. Runs in a worker."""
    with contextlib.suppress(EOFError):
        while True:
            message = feed.receive()
            if isinstance(message, list):
                try:
                    message = function(message)
                except Exception as error:
                    message = sendable(error)
            back.send(message)


@contextlib.contextmanager
def _signals_held() -> Iterator[set[int]]:
    """Keep Ctrl-C and SIGTERM waiting until the block ends: no child is half made or forgotten."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield held
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _die_with(life: Channel) -> None:
    """End this process when the process that holds the other end of `life` has ended."""
    life.reader.read(1)
    os._exit(1)
