"""Log the metrics of a run: as JSONL, as a progress line, to TensorBoard and to W&B."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from seqit.errors import SeqitError
from seqit.stores.targets import atomic_file
from seqit.train.recipe import Logging, TrainRecipe

METRICS_FILE = "metrics.jsonl"
FAILURE_FILE = "failure.json"
"""The rows of the batch at which a run stopped because its loss was not finite."""
MAX_SHOWN_ROWS = 10
CLEAR_LINE = "\r\x1b[K"

GPU_PEAK_FLOPS = {
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
"""Dense bfloat16 FLOP/s by part of the GPU's name, from the vendors' data sheets; the first match
counts."""


class Diverged(SeqitError):
    """Raised when the loss or the gradient norm is not finite."""


class StepWork(NamedTuple):
    """The work of a step over all ranks: tokens, the sum of squared example lengths, and time."""

    tokens: int
    squared_lengths: int
    seconds: float


class ModelFlops(NamedTuple):
    """A model's FLOPs: 6 per weight and token, 6 per layer, hidden unit and pair of tokens.

    These are the forward pass, the backward pass (twice as much), and the causal half of the
    attention; recomputation by gradient checkpointing does not count (PaLM, arXiv 2204.02311,
    appendix B). peak: of one GPU, in FLOP/s.
    """

    weights: int
    layers: int
    hidden_size: int
    peak: float

    def mfu(self, work: StepWork) -> float:
        """Return the model FLOPs utilization of a step, relative to the peak of one GPU."""
        attention = 6 * self.layers * self.hidden_size * work.squared_lengths
        flops = 6 * self.weights * work.tokens + attention
        return flops / work.seconds / self.peak


def peak_flops(name: str) -> float | None:
    """Return the peak FLOP/s of a GPU by its name; None if it is unknown."""
    return next((peak for part, peak in GPU_PEAK_FLOPS.items() if part in name), None)


class MetricsLogger:
    """Logs the metrics of a run on rank 0, and shows messages and progress on `stream`."""

    def __init__(self, recipe: TrainRecipe, steps: int, stream: IO[str] | None = None) -> None:
        self._out = Path(recipe.output)
        self._steps = steps
        self._stream = stream or sys.stderr
        self._shows_progress = self._stream.isatty()
        self._started = time.monotonic()
        self._start_step: int | None = None
        self._writers = list(_writers(recipe))
        self._file: IO[bytes] | None = None

    def open(self, step: int) -> None:
        """Start logging after `step` steps; rows of later steps from an earlier run are removed."""
        path = self._out / METRICS_FILE
        (self._out / FAILURE_FILE).unlink(missing_ok=True)
        kept = [line for line in _complete_lines(path) if orjson.loads(line)["step"] <= step]
        with atomic_file(str(path)) as file:
            file.writelines(kept)
        self._file = path.open("ab")
        self._start_step = step

    def log(self, row: dict[str, Any]) -> None:
        """Write one row of metrics, which contains `step`."""
        if self._file is None:
            raise ValueError("log was called before open")
        self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        for write in self._writers:
            write(row)
        if self._shows_progress and "loss" in row:
            self._stream.write(CLEAR_LINE + self._progress_line(row))
            self._stream.flush()

    def info(self, message: str) -> None:
        """Print a message."""
        clear = CLEAR_LINE if self._shows_progress else ""
        self._stream.write(f"{clear}seqit train: {message}\n")
        self._stream.flush()

    def close(self) -> None:
        """Clear the progress line and close all writers."""
        if self._shows_progress:
            self._stream.write(CLEAR_LINE)
        if self._file:
            self._file.close()
        for write in self._writers:
            getattr(write, "close", lambda: None)()

    def _progress_line(self, row: dict[str, Any]) -> str:
        step = row["step"]
        done = step - (self._start_step or 0)
        left = (time.monotonic() - self._started) / max(done, 1) * (self._steps - step)
        text = f"train: step {step:,} of {self._steps:,}, loss {row['loss']:.4f}"
        text += f", {row['tokens_per_second']:,.0f} tokens/s"
        if row.get("mfu"):
            text += f", MFU {row['mfu']:.1%}"
        return f"{text}, {left / 60:,.0f} min left"


def divergence_error(out: Path, step: int, reason: str, row_ids: Iterable[str]) -> Diverged:
    """Return the error for a loss that is not finite, after writing the row ids to FAILURE_FILE."""
    ids = list(row_ids)
    with contextlib.suppress(OSError), atomic_file(str(out / FAILURE_FILE)) as file:
        content = {"step": step, "reason": reason, "rows": ids}
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    shown = ", ".join(ids[:MAX_SHOWN_ROWS])
    if len(ids) > MAX_SHOWN_ROWS:
        shown += f" and {len(ids) - MAX_SHOWN_ROWS:,} more ({out / FAILURE_FILE})"
    return Diverged(
        f"step {step:,}: {reason}; rows: {shown}. Check these rows, or lower the learning rate; "
        "--resume continues from the newest checkpoint"
    )


def _complete_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, without an incomplete last one of a killed process."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        return [line for line in file if line.endswith(b"\n")]


def _writers(recipe: TrainRecipe) -> Iterable[Callable[[dict[str, Any]], None]]:
    options: Logging = recipe.logging
    if options.tensorboard:
        yield _TensorBoard(options.tensorboard)
    if options.wandb:
        yield _Wandb(options.wandb, recipe)


class _TensorBoard:
    """Writes TensorBoard event files; requires the tensorboard package."""

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
    """Logs to Weights & Biases; its library reads the key from WANDB_API_KEY."""

    def __init__(self, project: str, recipe: TrainRecipe) -> None:
        try:
            import wandb
        except ImportError:
            raise SeqitError("wandb is not installed; install it with: pip install wandb") from None
        # With the same id, a resumed run continues the run in W&B.
        name = os.environ.get("WANDB_RUN_ID") or Path(recipe.output).resolve().name
        self._run = wandb.init(
            project=project, id=name, resume="allow", config=recipe.to_dict(), dir=recipe.output
        )

    def __call__(self, row: dict[str, Any]) -> None:
        self._run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def close(self) -> None:
        self._run.finish()
