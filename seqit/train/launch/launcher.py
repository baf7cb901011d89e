"""Starts the ranks of a node, and ends all of them when one ends badly."""

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
from seqit.train.launch.nodes import MODULE, ranks_of
from seqit.train.loop import checkpoints, extensions
from seqit.train.loop.engine import free_port
from seqit.train.recipe import RUN_FILE, TrainRecipe

LOGS = "logs"
GRACE, TICK = 1.0, 0.05
"""Seconds that the others have to say what they ended with, and between looks at them."""

TAIL = 15
"""Lines of a rank's log that are shown when it ends without a sentence of its own."""


class RankFailed(SeqitError):
    """A rank ended badly; the others were ended too."""

    def __init__(self, message: str, exit_code: int = 1, *, restartable: bool = True) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.restartable = restartable


def train(recipe: TrainRecipe) -> None:
    """Train what OUT/run.json says on the ranks of this node; the rows are prepared.

    Where torchrun has started this process, it is one of the ranks itself.
    Raises RankFailed with what the first rank ended with, UsageError where OUT holds a run that is
    not to be resumed, or more nodes are asked for than this process can start.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        _be_rank(recipe)
        return
    check_folder(recipe)
    if recipe.launch.nodes > 1 or recipe.launch.hostfile:
        raise UsageError(
            "ranks of several nodes are started on each of them; --print-launch says how"
        )
    environment = extensions.environment(recipe.memory.offload)
    for left in reversed(range(recipe.launch.restarts + 1)):
        try:
            return run_ranks(recipe, ranks_of(recipe.launch), environment)
        except RankFailed as error:
            if not (left and error.restartable):
                raise
            sys.stderr.write(f"seqit train: {error}\nseqit train: the ranks start again\n")


def _be_rank(recipe: TrainRecipe) -> None:
    from seqit.train.launch.worker import main

    if code := main([str(Path(recipe.out) / RUN_FILE)]):
        sys.exit(code)


def check_folder(recipe: TrainRecipe) -> None:
    """Raise UsageError where OUT holds checkpoints, and nobody said that the run goes on."""
    folder = Path(recipe.out) / checkpoints.FOLDER
    if not recipe.resume and folder.is_dir() and any(folder.glob("step-*")):
        raise UsageError(
            f"{recipe.out} holds the checkpoints of a run; go on with it by --resume, or take "
            "another --out"
        )


class RankProcess(NamedTuple):
    """A rank's process, where it logs, and where its last sentence would be."""

    rank: int
    process: subprocess.Popen[bytes]
    log: Path
    error: Path


def run_ranks(recipe: TrainRecipe, count: int, environment: Mapping[str, str]) -> None:
    """Start the ranks and wait for them; SIGTERM and Ctrl-C have them save, and end."""
    out = Path(recipe.out)
    with _parent_pipe() as parent_fd, _started(out, count, environment, parent_fd) as children:
        told: list[int] = []
        with _handled(signal.SIGTERM, told), _handled(signal.SIGINT, told):
            failed = _first_failure(children, told)
        if failed:
            time.sleep(GRACE)
            _end(children)
            error = _failure(failed, children, out)
            if told and failed.process.wait() == -signal.SIGTERM:
                error = RankFailed("stopped before the first step", 128 + signal.SIGTERM)
            if signal.SIGINT in told and error.exit_code == 128 + signal.SIGTERM:
                error.exit_code = 128 + signal.SIGINT
            raise error


def _first_failure(children: list[RankProcess], told: list[int]) -> RankProcess | None:
    """Wait until all have ended well, or one has not; pass on what this process is told."""
    passed_on = 0
    while True:
        for number in told[passed_on:]:
            # The first has them save and end; Ctrl-C again does not wait for that.
            _send(children, signal.SIGTERM if passed_on == 0 else number)
            passed_on += 1
            if passed_on > 1 and number == signal.SIGINT:
                _end(children)
        codes = [child.process.poll() for child in children]
        for child, code in zip(children, codes, strict=True):
            if code:
                return child
        if all(code == 0 for code in codes):
            return None
        time.sleep(TICK)


def _failure(first: RankProcess, children: list[RankProcess], out: Path) -> SeqitError:
    """Return the error for a rank that ended badly; another's sentence says more than a code."""
    speaker = next((child for child in (first, *children) if child.error.is_file()), None)
    if speaker:
        code = speaker.process.wait()
        return RankFailed(speaker.error.read_text(encoding="utf-8"), code, restartable=False)
    code, which = first.process.wait(), f"rank {first.rank} of {len(children)}"
    if code < 0:
        name = signal.Signals(-code).name
        why = ", as the kernel does where memory runs out" if code == -signal.SIGKILL else ""
        said = f"{which} was killed by {name}{why}"
    else:
        said = f"{which} ended with exit code {code}; the end of {first.log}:\n{_tail(first.log)}\n"
    kept = any((out / checkpoints.FOLDER).glob("step-*"))
    go_on = "--resume goes on from the newest checkpoint" if kept else "there is no checkpoint yet"
    return RankFailed(f"{said}{'' if code > 0 else '. '}The other ranks were ended; {go_on}")


def _tail(log: Path) -> str:
    with log.open(encoding="utf-8", errors="backslashreplace") as file:
        return "\n".join(f"  {line.rstrip()}" for line in deque(file, TAIL))


@contextlib.contextmanager
def _started(
    out: Path, count: int, environment: Mapping[str, str], parent_fd: int
) -> Iterator[list[RankProcess]]:
    logs = out / LOGS
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
        children += (_start(out, rank, shared, parent_fd) for rank in range(count))
        yield children
    finally:
        _end(children)


def _start(out: Path, rank: int, shared: Mapping[str, str], parent_fd: int) -> RankProcess:
    log = out / LOGS / f"rank-{rank:05}.log"
    error = log.with_suffix(".error")
    error.unlink(missing_ok=True)
    own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), ERROR_FILE: str(error)}
    tty_fd = os.dup(2)
    if rank == 0:
        own[TTY_FD] = str(tty_fd)
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(out / RUN_FILE)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=own,
                pass_fds=[parent_fd, tty_fd] if rank == 0 else [parent_fd],
                start_new_session=True,  # Ctrl-C comes by this process, as an order to save
            )
    finally:
        os.close(tty_fd)
    return RankProcess(rank, process, log, error)


@contextlib.contextmanager
def _parent_pipe() -> Iterator[int]:
    """Give a descriptor whose other end is closed when this process ends, however it ends."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def _handled(number: signal.Signals, told: list[int]) -> Iterator[None]:
    before = signal.signal(number, lambda got, frame: told.append(got))
    try:
        yield
    finally:
        signal.signal(number, before)


def _send(children: list[RankProcess], number: int) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def _end(children: list[RankProcess]) -> None:
    """Kill what is left: ranks that wait for a dead one do not end by themselves."""
    _send(children, signal.SIGKILL)
    for child in children:
        child.process.wait()
