"""What is seen of a run: metrics as JSONL, a line of progress, TensorBoard and W&B."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from seqit.errors import SeqitError
from seqit.stores.targets import whole_file
from seqit.train.recipe import TrainRecipe, Watching

METRICS = "metrics.jsonl"
FAILURE = "failure.json"
"""The rows of the batch that a run stopped at, because its loss was no number."""
SHOWN = 10
TO_START = "\r\x1b[K"

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "4090": 165e12,
    "MI300X": 1307e12,
}
"""bfloat16 operations a second without sparsity, by part of the GPU's name; of the makers' sheets.
The first that fits counts."""


class Diverged(SeqitError):
    """The loss or the gradient is no number any more."""


class StepWork(NamedTuple):
    """What a step came to, over all ranks: tokens, and the sum of squared example lengths."""

    tokens: int
    squares: int
    seconds: float


class Flops(NamedTuple):
    """A model's operations: 6 a weight and token, 6 a layer, channel and pair of tokens.

    Forward and twice as much backward, the causal half of attention; what gradient checkpointing
    computes again is not counted (PaLM, arXiv 2204.02311, appendix B).
    """

    weights: int
    layers: int
    width: int
    peak: float

    def utilisation(self, work: StepWork) -> float:
        """Return the share of the peak of all GPUs (MFU) that a step used."""
        done = 6 * self.weights * work.tokens + 6 * self.layers * self.width * work.squares
        return done / work.seconds / self.peak


def peak_flops(name: str) -> float | None:
    """Return a GPU's peak by its name; None where it is not known."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


class MetricsLogger:
    """Tells of a run, on rank 0. `stream`: where people read."""

    def __init__(self, recipe: TrainRecipe, steps: int, stream: IO[str] | None = None) -> None:
        self._out = Path(recipe.out)
        self._steps = steps
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty()
        self._start = time.monotonic()
        self._started_at: int | None = None
        self._writers = list(_writers(recipe))
        self._file: IO[bytes] | None = None

    def open(self, step: int) -> None:
        """Begin after `step` steps: what was written of later ones is dropped."""
        path = self._out / METRICS
        (self._out / FAILURE).unlink(missing_ok=True)
        kept = [line for line in _whole_lines(path) if orjson.loads(line)["step"] <= step]
        with whole_file(str(path)) as file:
            file.writelines(kept)
        self._file = path.open("ab")
        self._started_at = step

    def log(self, row: dict[str, Any]) -> None:
        """Write one row of metrics; `step` is in it."""
        if self._file is None:
            raise ValueError("open comes first")
        self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        for write in self._writers:
            write(row)
        if self._shows and "loss" in row:
            self._stream.write(TO_START + self._line(row))
            self._stream.flush()

    def say(self, text: str) -> None:
        """Show a sentence of its own."""
        clear = TO_START if self._shows else ""
        self._stream.write(f"{clear}seqit train: {text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Finish the line of progress."""
        if self._shows:
            self._stream.write(TO_START)
        if self._file:
            self._file.close()
        for write in self._writers:
            getattr(write, "close", lambda: None)()

    def _line(self, row: dict[str, Any]) -> str:
        step = row["step"]
        done = step - (self._started_at or 0)
        left = (time.monotonic() - self._start) / max(done, 1) * (self._steps - step)
        text = f"train: step {step:,} of {self._steps:,}, loss {row['loss']:.4f}"
        text += f", {row['tokens_per_second']:,.0f} tokens/s"
        if row.get("mfu"):
            text += f", MFU {row['mfu']:.1%}"
        return f"{text}, {left / 60:,.0f} min left"


def stop_at(out: Path, step: int, what: str, rows: Iterable[str]) -> Diverged:
    """Return the error for a loss that is no number, and write the rows' ids beside the run."""
    ids = list(rows)
    with contextlib.suppress(OSError), whole_file(str(out / FAILURE)) as file:
        content = {"step": step, "reason": what, "rows": ids}
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    more = f" and {len(ids) - SHOWN:,} more ({out / FAILURE})" if len(ids) > SHOWN else ""
    return Diverged(
        f"step {step:,}: {what}; the rows: {', '.join(ids[:SHOWN])}{more}. Look at them, or lower "
        "the learning rate; --resume goes on from the newest checkpoint"
    )


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, without what a kill left of a last one."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        return [line for line in file if line.endswith(b"\n")]


def _writers(recipe: TrainRecipe) -> Iterable[Callable[[dict[str, Any]], None]]:
    watching: Watching = recipe.watching
    if watching.tensorboard:
        yield _TensorBoard(watching.tensorboard)
    if watching.wandb:
        yield _Wandb(watching.wandb, recipe)


class _TensorBoard:
    """Writes event files; needs the tensorboard package."""

    def __init__(self, folder: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SeqitError(
                "tensorboard is not installed; install it with: pip install tensorboard"
            ) from None
        self._writer = SummaryWriter(folder)

    def __call__(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(f"train/{name}", value, row["step"])

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """Logs to Weights & Biases; the key comes from WANDB_API_KEY, as its library has it."""

    def __init__(self, project: str, recipe: TrainRecipe) -> None:
        try:
            import wandb
        except ImportError:
            raise SeqitError("wandb is not installed; install it with: pip install wandb") from None
        # The id keeps a resumed run one run.
        name = os.environ.get("WANDB_RUN_ID") or Path(recipe.out).resolve().name
        self._run = wandb.init(
            project=project, id=name, resume="allow", config=recipe.to_dict(), dir=recipe.out
        )

    def __call__(self, row: dict[str, Any]) -> None:
        self._run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def close(self) -> None:
        self._run.finish()
