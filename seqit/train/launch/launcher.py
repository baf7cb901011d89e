"""Start the ranks of a node, and stop all of them if one fails."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.train.launch.environment import ERROR_FILE, PARENT_FD, TTY_FD
from seqit.train.launch.nodes import WORKER_MODULE, local_world_size
from seqit.train.loop import checkpoints, extensions
from seqit.train.loop.engine import free_port
from seqit.train.recipe import RUN_FILE, TrainRecipe

LOG_FOLDER = "logs"
GRACE_SECONDS, POLL_SECONDS = 1.0, 0.05
"""Seconds that the other ranks have to report errors, and between polls of the processes."""

LOG_TAIL_LINES = 15
"""Lines of a rank's log that are shown if it ends without an error message."""


class RankFailed(SeqitError):
    """Raised when a rank fails; the other ranks have been stopped."""

    def __init__(self, message: str, exit_code: int = 1, *, restartable: bool = True) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.restartable = restartable


def train(recipe: TrainRecipe) -> None:
    """Run OUT/run.json on the ranks of this node; the rows must be prepared.

    If torchrun has started this process, it is one of the ranks itself. Raises RankFailed with the
    message of the first rank that failed, and UsageError if OUT contains a run that is not to be
    resumed, or for several nodes.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        _run_as_rank(recipe)
        return
    check_out_folder(recipe)
    if recipe.launch.nodes > 1 or recipe.launch.hostfile:
        raise UsageError(
            "the ranks of several nodes are started on each node; --print-launch prints the "
            "commands"
        )
    environment = extensions.build_extensions(recipe.memory.offload)
    for restarts_left in reversed(range(recipe.launch.restarts + 1)):
        try:
            return run_ranks(recipe, local_world_size(recipe.launch), environment)
        except RankFailed as error:
            if not (restarts_left and error.restartable):
                raise
            sys.stderr.write(f"seqit train: {error}\nseqit train: restarting the ranks\n")


def _run_as_rank(recipe: TrainRecipe) -> None:
    from seqit.train.launch.worker import main

    if code := main([str(Path(recipe.output) / RUN_FILE)]):
        sys.exit(code)


def check_out_folder(recipe: TrainRecipe) -> None:
    """Raise UsageError if OUT contains checkpoints and the recipe does not resume."""
    folder = Path(recipe.output) / checkpoints.CHECKPOINTS_FOLDER
    if not recipe.resume and folder.is_dir() and any(folder.glob("step-*")):
        raise UsageError(
            f"{recipe.output} contains the checkpoints of a run; continue it with --resume, or use "
            "another --output"
        )


class RankProcess(NamedTuple):
    """The process of a rank, its log file, and the file for its error message."""

    rank: int
    process: subprocess.Popen[bytes]
    log: Path
    error: Path


def run_ranks(recipe: TrainRecipe, count: int, environment: Mapping[str, str]) -> None:
    """Start the ranks and wait for them; SIGTERM and Ctrl-C make them save and exit."""
    out = Path(recipe.output)
    received: list[int] = []
    with (
        _parent_pipe() as parent_fd,
        # Before the ranks start, so that no signal ends this process without them.
        _record_signal(signal.SIGTERM, received),
        _record_signal(signal.SIGINT, received),
        _running_ranks(out, count, environment, parent_fd) as children,
    ):
        failed = _first_failure(children, received)
        if failed:
            time.sleep(GRACE_SECONDS)
            failed = _root_cause(failed, children)
            _kill_ranks(children)
            error = _failure_error(failed, children, out)
            if received and failed.process.wait() == -signal.SIGTERM:
                error = RankFailed("stopped before the first step", 128 + signal.SIGTERM)
            if signal.SIGINT in received and error.exit_code == 128 + signal.SIGTERM:
                error.exit_code = 128 + signal.SIGINT
            raise error


def _first_failure(children: list[RankProcess], received: list[int]) -> RankProcess | None:
    """Wait until all ranks have succeeded or one has failed; forward signals to them."""
    forwarded = 0
    while True:
        for number in received[forwarded:]:
            # The first signal makes the ranks save and exit; a second Ctrl-C kills them.
            _send_signal(children, signal.SIGTERM if forwarded == 0 else number)
            forwarded += 1
            if forwarded > 1 and number == signal.SIGINT:
                _kill_ranks(children)
        codes = [child.process.poll() for child in children]
        for child, code in zip(children, codes, strict=True):
            if code:
                return child
        if all(code == 0 for code in codes):
            return None
        time.sleep(POLL_SECONDS)


def _root_cause(failed: RankProcess, children: list[RankProcess]) -> RankProcess:
    """Return the rank whose end explains the others'.

    A rank that is killed breaks the connections of the others, whose errors may come first.
    """
    killed = (child for child in children if (child.process.poll() or 0) < 0)
    return next(killed, failed)


def _failure_error(first: RankProcess, children: list[RankProcess], out: Path) -> SeqitError:
    """Return the error for a failed rank; the message of any rank says more than an exit code."""
    reporting = next((child for child in (first, *children) if child.error.is_file()), None)
    if reporting:
        code = reporting.process.wait()
        return RankFailed(reporting.error.read_text(encoding="utf-8"), code, restartable=False)
    code, which = first.process.wait(), f"rank {first.rank} of {len(children)}"
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", as the kernel does when memory runs out" if code == -signal.SIGKILL else ""
        message = f"{which} was killed by {name}{hint}. "
    else:
        message = f"{which} exited with code {code}; the end of {first.log}:\n{_tail(first.log)}\n"
    has_checkpoint = any((out / checkpoints.CHECKPOINTS_FOLDER).glob("step-*"))
    advice = (
        "--resume continues from the newest checkpoint"
        if has_checkpoint
        else "there is no checkpoint yet"
    )
    return RankFailed(f"{message}The other ranks were stopped; {advice}")


def _tail(log: Path) -> str:
    with log.open(encoding="utf-8", errors="backslashreplace") as file:
        return "\n".join(f"  {line.rstrip()}" for line in deque(file, LOG_TAIL_LINES))


@contextlib.contextmanager
def _running_ranks(
    out: Path, count: int, environment: Mapping[str, str], parent_fd: int
) -> Iterator[list[RankProcess]]:
    logs = out / LOG_FOLDER
    logs.mkdir(parents=True, exist_ok=True)
    shared = {
        "OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // count, 1)),
        **os.environ,
        **environment,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        PARENT_FD: str(parent_fd),
    }
    children: list[RankProcess] = []
    try:
        children += (_start_rank(out, rank, shared, parent_fd) for rank in range(count))
        yield children
    finally:
        _kill_ranks(children)


def _start_rank(out: Path, rank: int, shared: Mapping[str, str], parent_fd: int) -> RankProcess:
    log = out / LOG_FOLDER / f"rank-{rank:05}.log"
    error = log.with_suffix(".error")
    error.unlink(missing_ok=True)
    environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), ERROR_FILE: str(error)}
    tty_fd = os.dup(2)
    if rank == 0:
        environment[TTY_FD] = str(tty_fd)
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER_MODULE, str(out / RUN_FILE)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                pass_fds=[parent_fd, tty_fd] if rank == 0 else [parent_fd],
                start_new_session=True,  # Ctrl-C reaches only this process, which forwards it
            )
    finally:
        os.close(tty_fd)
    return RankProcess(rank, process, log, error)


@contextlib.contextmanager
def _parent_pipe() -> Iterator[int]:
    """Yield a file descriptor whose other end is closed when this process ends for any reason."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def _record_signal(number: signal.Signals, received: list[int]) -> Iterator[None]:
    """Append the signal to `received` instead of handling it, within the block."""
    previous = signal.signal(number, lambda signum, frame: received.append(signum))
    try:
        yield
    finally:
        signal.signal(number, previous)


def _send_signal(children: list[RankProcess], number: int) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def _kill_ranks(children: list[RankProcess]) -> None:
    """Kill the running ranks: those that wait for a dead one do not end by themselves."""
    _send_signal(children, signal.SIGKILL)
    for child in children:
        child.process.wait()
