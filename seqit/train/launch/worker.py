"""One rank of a training run: ``python -m seqit.train.launch.worker OUT/run.json``.

seqit's launcher starts it, or torchrun, which sets the same variables of the environment.
"""

import contextlib
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

import orjson

from seqit.errors import SeqitError
from seqit.train.launch.environment import ERROR_FILE, PARENT_FD, TTY_FD
from seqit.train.libraries import silence_training_libraries
from seqit.train.loop import checkpoints
from seqit.train.loop.metrics import MetricsLogger
from seqit.train.recipe import TrainRecipe


def main(arguments: list[str] | None = None) -> int:
    """Train what the run's file says; returns the exit code."""
    (run_file,) = arguments or sys.argv[1:]
    recipe = TrainRecipe.from_dict(orjson.loads(Path(run_file).read_bytes()))
    silence_training_libraries()
    _end_with_the_launcher()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _train(recipe)
    except Exception as error:
        return _told(error, Path(recipe.out))
    return 0


def _train(recipe: TrainRecipe) -> None:
    from seqit.train.loop.engine import join_ranks, make_engine
    from seqit.train.loop.trainer import Trainer

    ranks, device = join_ranks()
    run = Trainer(recipe, ranks, device)
    watch = MetricsLogger(recipe, len(run.schedule), _tty()) if ranks.rank == 0 else None
    if ranks.rank == 0:
        checkpoints.sweep(Path(recipe.out))
    try:
        run.train(make_engine, watch)
    finally:
        if watch:
            watch.close()


def _told(error: Exception, out: Path) -> int:
    """Say what a rank ends with; return its exit code."""
    if isinstance(error, SeqitError):
        sentence, code = str(error), error.exit_code
    elif isinstance(error, OSError) and error.strerror:
        where = f"{error.filename or out}: "
        sentence, code = f"{where}{error.strerror}; --resume goes on from the newest checkpoint", 1
    elif type(error).__name__ == "OutOfMemoryError":
        sentence, code = f"{_too_large()} ({str(error).splitlines()[0]})", 1
    else:
        traceback.print_exception(error)
        return 1
    if name := os.environ.get(ERROR_FILE):
        Path(name).write_text(sentence, encoding="utf-8")
    else:
        sys.stderr.write(f"seqit train: {sentence}\n")
    return code


def _too_large() -> str:
    return (
        "the GPU's memory does not hold a step: lower --micro-batch or --length, or spread the "
        "state with --zero 3 or --offload cpu"
    )


def _tty() -> IO[str]:
    number = os.environ.get(TTY_FD)
    return os.fdopen(int(number), "w", encoding="utf-8") if number else sys.stderr


def _end_with_the_launcher() -> None:
    """End this process when the launcher is gone, though nobody could tell it."""
    number = os.environ.get(PARENT_FD)
    if not number:
        return

    def wait() -> None:
        os.read(int(number), 1)  # returns when the other end is closed
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def end(code: int) -> Any:
    """End the process; after a failure without waiting for the other ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    end(main())
