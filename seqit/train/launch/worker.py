"""One rank of a training run: ``python -m seqit.train.launch.worker OUT/run.json``.

It is started by seqit's launcher, or by torchrun, which sets the same environment variables.
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
    """Run the recipe in the run's file and return the exit code."""
    (run_file,) = arguments or sys.argv[1:]
    recipe = TrainRecipe.from_dict(orjson.loads(Path(run_file).read_bytes()))
    silence_training_libraries()
    _exit_with_launcher()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _train(recipe)
    except Exception as error:
        return _report_error(error, Path(recipe.output))
    return 0


def _train(recipe: TrainRecipe) -> None:
    from seqit.train.loop.engine import init_distributed, make_engine
    from seqit.train.loop.trainer import Trainer

    group, device = init_distributed()
    trainer = Trainer(recipe, group, device)
    is_first = group.rank == 0
    logger = MetricsLogger(recipe, len(trainer.sampler), _tty_stream()) if is_first else None
    if is_first:
        checkpoints.remove_partial(Path(recipe.output))
    try:
        trainer.train(make_engine, logger)
    finally:
        if logger:
            logger.close()


def _report_error(error: Exception, out: Path) -> int:
    """Report the error that ends a rank, and return its exit code."""
    code = 1
    if isinstance(error, SeqitError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError) and error.strerror:
        message = f"{error.filename or out}: {error.strerror}; --resume continues from the newest "
        message += "checkpoint"
    elif type(error).__name__ == "OutOfMemoryError":
        message = f"{_out_of_memory_message()} ({str(error).splitlines()[0]})"
    else:
        traceback.print_exception(error)
        return 1
    if name := os.environ.get(ERROR_FILE):
        Path(name).write_text(message, encoding="utf-8")
    else:
        sys.stderr.write(f"seqit train: {message}\n")
    return code


def _out_of_memory_message() -> str:
    return (
        "a step does not fit into the GPU's memory: lower --micro-batch or --length, or partition "
        "the state with --zero 3 or --offload cpu"
    )


def _tty_stream() -> IO[str]:
    number = os.environ.get(TTY_FD)
    return os.fdopen(int(number), "w", encoding="utf-8") if number else sys.stderr


def _exit_with_launcher() -> None:
    """Exit when the launcher ends, even if it was killed and could not stop its ranks."""
    number = os.environ.get(PARENT_FD)
    if not number:
        return

    def wait() -> None:
        os.read(int(number), 1)  # returns when the other end is closed
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def exit_process(code: int) -> Any:
    """Exit the process, after a failure without waiting for the other ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    exit_process(main())
