"""The training loop: forward, backward, step; the same numbers however many ranks share them."""

import inspect
import math
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.records.identity import rng_for
from seqit.train.data.loader import BatchLoader, Portion
from seqit.train.data.sampler import Schedule
from seqit.train.loop import checkpoints
from seqit.train.loop.checkpoints import Ranks
from seqit.train.loop.engine_state import EngineState
from seqit.train.loop.learning_rate import learning_rate
from seqit.train.loop.metrics import Flops, MetricsLogger, StepWork, stop_at
from seqit.train.loop.resume_check import resume_fingerprint
from seqit.train.recipe import TrainRecipe

TERMINATED = 128 + signal.SIGTERM


class Terminated(SeqitError):
    """The run was told to stop, and has saved a checkpoint."""

    exit_code = TERMINATED


class Totals(NamedTuple):
    """Sums over all ranks of a step, and whether one of them was told to stop."""

    targets: int
    tokens: int
    squares: int
    stop: bool


class Machine(NamedTuple):
    """DeepSpeed's engine, the device of this rank, and its place among the others."""

    engine: Any
    device: Any
    ranks: Ranks


class TrainingLoop:
    """One rank's training. Everything that decides the numbers depends on the step alone."""

    def __init__(
        self,
        recipe: TrainRecipe,
        machine: Machine,
        schedule: Schedule,
        feed: BatchLoader,
        *,
        watch: MetricsLogger | None = None,
        flops: Flops | None = None,
    ) -> None:
        self._recipe = recipe
        self._engine, self._device, self._ranks = machine
        engine = machine.engine
        self._schedule = schedule
        self._feed = feed
        self._watch = watch
        self._flops = flops
        self._state = EngineState(engine)
        self._sums = takes_count(engine.module)
        self._stage = engine.zero_optimization_stage()
        self._told_to_stop = False
        self.tokens = self.targets = 0
        self.last: dict[str, Any] = {}

    def run(self, start: int, evaluate: Callable[[int], dict[str, Any]] | None = None) -> None:
        """Train from step `start` to the end.

        Raises Diverged, Terminated after SIGTERM, SeqitError where a checkpoint cannot be written.
        """
        signal.signal(signal.SIGTERM, self._stop)
        steps, keeping = len(self._schedule), self._recipe.keeping
        every = keeping.every or self._schedule.steps_per_epoch
        eval_every = self._recipe.watching.eval_every or self._schedule.steps_per_epoch
        self._engine.module.train()
        feed = self._feed.steps(self._schedule, self._ranks.rank, start)
        for step, portions in enumerate(feed, start):
            begun = time.monotonic()
            totals = self._agree(portions)
            if totals.stop:
                self._leave(step)
            row = self._step(step, portions, totals)
            self._log(step + 1, row, totals, time.monotonic() - begun)
            if evaluate and ((step + 1) % eval_every == 0 or step + 1 == steps):
                self._tell({"step": step + 1} | evaluate(step + 1))
            if (step + 1) % every == 0 or step + 1 == steps:
                self._save(step + 1)  # last: what is told of this step is not done again

    def resume(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Set weights and moments to those of a checkpoint."""
        checkpoints.load(checkpoint, self._state)
        self.tokens, self.targets = checkpoint.notes["tokens"], checkpoint.notes["targets"]

    def _step(self, step: int, portions: list[Portion], totals: Totals) -> dict[str, Any]:
        """Do one optimizer step; return its loss, gradient norm and learning rate."""
        import torch

        seed = rng_for(self._recipe.tuning.seed, "", step, f"dropout of rank {self._ranks.rank}")
        torch.manual_seed(seed.getrandbits(63))
        rate = learning_rate(step, len(self._schedule), self._recipe.tuning)
        for group in self._engine.basic_optimizer.param_groups:
            group["lr"] = rate
        losses = []
        for number, portion in enumerate(portions, 1):
            self._engine.set_gradient_accumulation_boundary(number == len(portions))
            loss = self.loss(portion, totals.targets)
            # DeepSpeed takes the mean over the ranks, where the sum is wanted.
            self._engine.backward(loss * self._ranks.size, scale_wrt_gas=False)
            losses.append(loss.detach())
        loss = self._checked_loss(step, portions, losses)
        norm = self._norm() if self._stage == 0 else None
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm() if norm is None else norm)
        if not math.isfinite(norm):
            self._diverged(step, f"the norm of the gradient is {norm}", portions)
        return {"loss": loss, "grad_norm": norm, "learning_rate": rate}

    def loss(self, portion: Portion, targets: int) -> Any:
        """Return a portion's share of the step's loss: its sum over its targets, / all targets."""
        tensors = {
            name: value.to(self._device, non_blocking=True) if hasattr(value, "to") else value
            for name, value in portion.micro.tensors.items()
        }
        if self._sums:
            loss = self._engine(**tensors, use_cache=False, num_items_in_batch=targets).loss
        else:
            loss = self._engine(**tensors).loss * (portion.micro.targets / targets)
        return loss * float(portion.counts)

    def total(self, *numbers: float) -> list[float]:
        """Return sums over all ranks, in float64."""
        import torch

        values = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(values)
        return values.tolist()  # type: ignore[no-any-return]

    def _agree(self, portions: list[Portion]) -> Totals:
        micros = [portion.micro for portion in portions if portion.counts]
        targets, tokens, squares, stop = self.total(
            sum(micro.targets for micro in micros),
            sum(micro.tokens for micro in micros),
            sum(micro.squares for micro in micros),
            self._told_to_stop,
        )
        return Totals(int(targets), int(tokens), int(squares), stop > 0)

    def _checked_loss(self, step: int, portions: list[Portion], losses: list[Any]) -> float:
        import torch

        values: list[float] = torch.stack(losses).double().tolist()
        (total,) = self.total(math.fsum(values))
        if not math.isfinite(total):
            bad = [p for p, v in zip(portions, values, strict=True) if not math.isfinite(v)]
            self._diverged(step, f"the loss is {total}", bad)
        return total

    def _diverged(self, step: int, what: str, portions: list[Portion]) -> None:
        import torch

        ids: list[Any] = [None] * self._ranks.size
        mine = [row_id for portion in portions for row_id in portion.row_ids]
        torch.distributed.all_gather_object(ids, mine)
        rows = (row_id for rank in ids for row_id in rank)
        raise stop_at(Path(self._recipe.out), step + 1, what, rows)

    def _norm(self) -> Any:
        """Return the gradient's norm where DeepSpeed does not tell it; before the step clips it."""
        import torch

        norm = partial(torch.linalg.vector_norm, dtype=torch.float32)
        grads = (p.grad for p in self._engine.module.parameters() if p.grad is not None)
        return norm(torch.stack([norm(grad) for grad in grads]))

    def _log(self, step: int, row: dict[str, Any], totals: Totals, seconds: float) -> None:
        self.tokens += totals.tokens
        self.targets += totals.targets
        work = StepWork(totals.tokens, totals.squares, seconds)
        row = {
            "step": step,
            "epoch": step / self._schedule.steps_per_epoch,
            **row,
            "tokens": self.tokens,
            "targets": self.targets,
            "tokens_per_second": work.tokens / work.seconds,
            "mfu": self._flops.utilisation(work) / self._ranks.size if self._flops else None,
            "memory_gib": peak_memory(),
        }
        self.last = row
        if step % self._recipe.watching.log_every == 0 or step == len(self._schedule):
            self._tell(row)

    def _tell(self, row: dict[str, Any]) -> None:
        if self._watch:
            self._watch.log(row)

    def _save(self, step: int) -> None:
        notes = {
            "tokens": self.tokens,
            "targets": self.targets,
            "run": resume_fingerprint(self._recipe),
        }
        out, keep = Path(self._recipe.out), self._recipe.keeping.keep
        checkpoints.save(out, step, self._state, self._ranks, notes=notes, keep=keep)

    def _leave(self, step: int) -> None:
        """Save, and raise Terminated."""
        saved = Path(self._recipe.out) / checkpoints.FOLDER / f"step-{step:08}"
        if step and not saved.exists():
            self._save(step)
        self._ranks.wait()
        raise Terminated(f"stopped by SIGTERM after step {step:,}; go on with --resume")

    def _stop(self, number: int, frame: Any) -> None:
        self._told_to_stop = True


def takes_count(model: Any) -> bool:
    """Tell whether a model's forward divides the loss by `num_items_in_batch`, if it is told."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if (says := getattr(base, "accepts_loss_kwargs", None)) is not None:
        return bool(says)
    parameters = inspect.signature(base.forward).parameters.values()
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


def peak_memory() -> float:
    """Return the most memory so far, in GiB: of the GPU where there is one, else of the process."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
