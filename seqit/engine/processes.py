"""Map a function over items in several processes, with the results in the order of the items.

    producer ─▶ worker ─▶ this process
             ─▶ worker ─▶

Each arrow is a pipe, and all flow one way: a full pipe blocks its writer, so memory stays bounded
and no two processes can wait for each other. The producer sends batches to the workers in turn,
and results are received in the same turn, which keeps the order. Reading has its own process
because a read may wait for input while results of earlier input must go out.
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

from seqit.engine.channel import Channel, picklable_error
from seqit.errors import SeqitError

T = TypeVar("T")
R = TypeVar("R")
Function = Callable[[list[T]], list[R]]

MIN_PARALLEL_BYTES = 2 << 20
"""Size of the items that this process maps itself: smaller input is done before workers start."""

BATCH_BYTES = 1 << 17
"""Size of a batch. A larger one costs less to send, and keeps the last workers busy longer."""


def usable_cpus() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerPool:
    """Worker processes for `map`; none is left when the ``with`` block ends.

    They are forked once enough items have been read to be worth it; items and results are pickled,
    the function is not. `before_wait` is called before this process waits for something.
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
        """Pass on what has been gathered; `batches` calls it before a read that may block."""
        self.before_wait()

    def map(
        self, function: Function[T, R], batches: Iterable[list[T]], size_of: Callable[[T], int]
    ) -> Iterator[R]:
        """Yield the results of `function` over lists of items, in the order of the items.

        A batch has the items that are available when the next read may block. `size_of` gives an
        item's size in bytes; items of size 0 alone never start a worker. Once workers have
        started, `batches` is iterated in another process: changes that it makes stay there. An
        exception in either is raised here, after the results before it. Raises SeqitError if a
        process died.
        """
        rest = iter(batches)
        size = 0
        for batch in rest:
            yield from function(batch)
            size += sum(map(size_of, batch))
            if self._count > 1 and size >= MIN_PARALLEL_BYTES:
                yield from self._map_in_workers(function, rest, size_of)
                return

    def _map_in_workers(
        self, function: Function[T, R], batches: Iterator[list[T]], size_of: Callable[[T], int]
    ) -> Iterator[R]:
        inputs = [Channel() for _ in range(self._count)]
        outputs = [Channel() for _ in range(self._count)]
        parent_alive = Channel()
        self._files = [file for pipe in (*inputs, *outputs, parent_alive) for file in pipe.files]
        with _signals_blocked() as signal_mask:
            for source, sink in zip(inputs, outputs, strict=True):
                body = partial(_work, function, source, sink)
                self._fork(signal_mask, (source.reader, sink.writer), body)
            body = partial(self._produce, _BatchSender(inputs), batches, size_of, parent_alive)
            ends = (parent_alive.reader, *(channel.writer for channel in inputs))
            self._fork(signal_mask, ends, body)
        self._close_all_but([parent_alive.writer, *(channel.reader for channel in outputs)])
        try:
            yield from self._collect(outputs)
        finally:
            self._stop()

    def _collect(self, outputs: list[Channel]) -> Iterator[Any]:
        for index in cycle(range(self._count)):
            self.before_wait()
            try:
                message = outputs[index].receive()
            except EOFError:
                raise SeqitError(self._death_message(index)) from None
            if message is None:
                return
            if isinstance(message, Exception):
                raise message
            yield from message

    def _produce(
        self,
        sender: "_BatchSender[T]",
        batches: Iterator[list[T]],
        size_of: Callable[[T], int],
        parent_alive: Channel,
    ) -> None:
        """Send all items to the workers; runs in the producer."""
        # A thread, since a blocked read would not notice that the parent has died.
        threading.Thread(target=_exit_with_parent, args=(parent_alive,), daemon=True).start()
        self.before_wait = sender.flush
        try:
            sender.send_all(batches, size_of)
            sender.flush()
        except Exception as error:
            sender.flush()
            sender.send(picklable_error(error))
        else:
            sender.send(None)

    def _fork(
        self, signal_mask: set[int], ends: Iterable[IO[bytes]], body: Callable[[], None]
    ) -> None:
        child = os.fork()
        if child:
            self._children.append(child)
            return
        code = 1
        try:
            # Ctrl-C goes to all processes of a terminal; only the parent decides how to react.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, signal_mask)
            self._close_all_but(ends)  # a pipe ends once no process has its writing end open
            body()
            code = 0
        finally:
            # Do not unwind the stack: the child must not flush the parent's files and buffers.
            os._exit(code)

    def _close_all_but(self, ends: Iterable[IO[bytes]]) -> None:
        kept = list(ends)
        for file in self._files:
            if file not in kept:
                file.close()
        self._files = kept

    def _death_message(self, index: int) -> str:
        """Return the error message for the worker whose pipe ended before the work did."""
        *workers, producer = self._children
        code = self._reap(workers[index])
        if code == 0:  # it exited because its input ended: the producer died
            code = self._reap(producer)
        how = (
            f"killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with exit code {code}"
        )
        return (
            f"a worker process was {how}, perhaps because memory ran out, and rows are missing; "
            "run the command again with fewer workers"
        )

    def _reap(self, child: int) -> int:
        self._children.remove(child)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _stop(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGKILL)  # it has no state worth saving
        while self._children:
            self._reap(self._children[-1])
        self._close_all_but(())


class _BatchSender(Generic[T]):
    """Gathers items into batches and sends them to the workers in turn."""

    def __init__(self, channels: list[Channel]) -> None:
        self._channels = cycle(channels)
        self._batch: list[T] = []
        self._size = 0

    def send_all(self, batches: Iterable[list[T]], size_of: Callable[[T], int]) -> None:
        for batch in batches:
            for item in batch:
                self._batch.append(item)
                self._size += size_of(item)
                if self._size >= BATCH_BYTES:
                    self.flush()

    def flush(self) -> None:
        if self._batch:
            self.send(self._batch)
            self._batch = []
            self._size = 0

    def send(self, message: list[T] | Exception | None) -> None:
        next(self._channels).send(message)


def _work(function: Function[T, R], source: Channel, sink: Channel) -> None:
    """Map batches until there are no more; None and errors are passed on. Runs in a worker."""
    with contextlib.suppress(EOFError):
        while True:
            message = source.receive()
            if isinstance(message, list):
                try:
                    message = function(message)
                except Exception as error:
                    message = picklable_error(error)
            sink.send(message)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[set[int]]:
    """Block SIGINT and SIGTERM until the block ends, so that no child is left half started."""
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield previous_mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _exit_with_parent(parent_alive: Channel) -> None:
    """End this process when the parent, which holds the other end of the pipe, has ended."""
    parent_alive.reader.read(1)
    os._exit(1)
