"""The training loop: forward, backward, step; the results do not depend on the number of ranks."""

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
from seqit.train.data.loader import BatchLoader, StepInput
from seqit.train.data.sampler import BatchSampler
from seqit.train.loop import checkpoints
from seqit.train.loop.checkpoints import ProcessGroup
from seqit.train.loop.engine_state import EngineState
from seqit.train.loop.learning_rate import learning_rate
from seqit.train.loop.metrics import MetricsLogger, ModelFlops, StepWork, divergence_error
from seqit.train.loop.resume_check import resume_fingerprint
from seqit.train.recipe import TrainRecipe

TERMINATED = 128 + signal.SIGTERM


class Terminated(SeqitError):
    """Raised after SIGTERM, once a checkpoint has been saved."""

    exit_code = TERMINATED


class StepTotals(NamedTuple):
    """Sums over all ranks in a step, and whether one of them has received SIGTERM."""

    supervised_tokens: int
    tokens: int
    squared_lengths: int
    stop: bool


class RankContext(NamedTuple):
    """A rank's DeepSpeed engine, device and process group."""

    engine: Any
    device: Any
    group: ProcessGroup


class TrainingLoop:
    """The training steps of one rank.

    All inputs of a step, random numbers included, are functions of the step's number.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        context: RankContext,
        sampler: BatchSampler,
        loader: BatchLoader,
        *,
        logger: MetricsLogger | None = None,
        flops: ModelFlops | None = None,
    ) -> None:
        self._recipe = recipe
        self._engine, self._device, self._group = context
        engine = context.engine
        self._sampler = sampler
        self._loader = loader
        self._logger = logger
        self._flops = flops
        self._state = EngineState(engine)
        self._accepts_item_count = accepts_item_count(engine.module)
        self._stage = engine.zero_optimization_stage()
        self._stop_requested = False
        self.tokens = self.supervised_tokens = 0
        self.last: dict[str, Any] = {}

    def run(self, start: int, evaluate: Callable[[int], dict[str, Any]] | None = None) -> None:
        """Train from step `start` to the end.

        Raises Diverged, Terminated after SIGTERM, and SeqitError if a checkpoint cannot be written.
        """
        signal.signal(signal.SIGTERM, self._request_stop)
        steps, every = len(self._sampler), self._recipe.checkpoints.every
        save_every = every or self._sampler.steps_per_epoch
        eval_every = self._recipe.logging.eval_every or self._sampler.steps_per_epoch
        self._engine.module.train()
        batches = self._loader.steps(self._sampler, self._group.rank, start)
        for step, step_inputs in enumerate(batches, start):
            started = time.monotonic()
            totals = self._sum_totals(step_inputs)
            if totals.stop:
                self._save_and_stop(step)
            row = self._step(step, step_inputs, totals)
            self._log_step(step + 1, row, totals, time.monotonic() - started)
            if evaluate and ((step + 1) % eval_every == 0 or step + 1 == steps):
                self._log_row({"step": step + 1} | evaluate(step + 1))
            if (step + 1) % save_every == 0 or step + 1 == steps:
                self._save(step + 1)  # after logging: a resumed run does not log this step again

    def resume(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Load the weights, moments and token counts of a checkpoint."""
        checkpoints.load(checkpoint, self._state)
        self.tokens = checkpoint.notes["tokens"]
        self.supervised_tokens = checkpoint.notes["targets"]

    def _step(self, step: int, step_inputs: list[StepInput], totals: StepTotals) -> dict[str, Any]:
        """Run one optimizer step and return its loss, gradient norm and learning rate."""
        import torch

        rng = rng_for(self._recipe.tuning.seed, "", step, f"dropout of rank {self._group.rank}")
        torch.manual_seed(rng.getrandbits(63))
        rate = learning_rate(step, len(self._sampler), self._recipe.tuning)
        for group in self._engine.basic_optimizer.param_groups:
            group["lr"] = rate
        losses = []
        for number, step_input in enumerate(step_inputs, 1):
            self._engine.set_gradient_accumulation_boundary(number == len(step_inputs))
            loss = self.loss(step_input, totals.supervised_tokens)
            # DeepSpeed averages gradients over the ranks, but they have to be summed.
            self._engine.backward(loss * self._group.world_size, scale_wrt_gas=False)
            losses.append(loss.detach())
        loss = self._total_loss(step, step_inputs, losses)
        norm = self._grad_norm() if self._stage == 0 else None
        self._engine.step()
        norm = float(self._engine.get_global_grad_norm() if norm is None else norm)
        if not math.isfinite(norm):
            self._raise_diverged(step, f"the norm of the gradient is {norm}", step_inputs)
        return {"loss": loss, "grad_norm": norm, "learning_rate": rate}

    def loss(self, step_input: StepInput, supervised_tokens: int) -> Any:
        """Return the input's part of the step's loss: its summed loss / `supervised_tokens`."""
        tensors = {
            name: value.to(self._device, non_blocking=True) if hasattr(value, "to") else value
            for name, value in step_input.micro_batch.tensors.items()
        }
        if self._accepts_item_count:
            output = self._engine(**tensors, use_cache=False, num_items_in_batch=supervised_tokens)
            loss = output.loss
        else:
            share = step_input.micro_batch.supervised_tokens / supervised_tokens
            loss = self._engine(**tensors).loss * share
        return loss * float(step_input.is_real)

    def total(self, *numbers: float) -> list[float]:
        """Return sums over all ranks, in float64."""
        import torch

        values = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(values)
        return values.tolist()  # type: ignore[no-any-return]

    def _sum_totals(self, step_inputs: list[StepInput]) -> StepTotals:
        micro_batches = [step_input.micro_batch for step_input in step_inputs if step_input.is_real]
        supervised_tokens, tokens, squared_lengths, stop = self.total(
            sum(micro_batch.supervised_tokens for micro_batch in micro_batches),
            sum(micro_batch.tokens for micro_batch in micro_batches),
            sum(micro_batch.squared_lengths for micro_batch in micro_batches),
            self._stop_requested,
        )
        return StepTotals(int(supervised_tokens), int(tokens), int(squared_lengths), stop > 0)

    def _total_loss(self, step: int, step_inputs: list[StepInput], losses: list[Any]) -> float:
        """Return the loss over all ranks; raises Diverged if it is not finite."""
        import torch

        values: list[float] = torch.stack(losses).double().tolist()
        (total,) = self.total(math.fsum(values))
        if not math.isfinite(total):
            pairs = zip(step_inputs, values, strict=True)
            diverged = [step_input for step_input, value in pairs if not math.isfinite(value)]
            self._raise_diverged(step, f"the loss is {total}", diverged)
        return total

    def _raise_diverged(self, step: int, reason: str, step_inputs: list[StepInput]) -> None:
        import torch

        ids_by_rank: list[Any] = [None] * self._group.world_size
        ids = [row_id for step_input in step_inputs for row_id in step_input.row_ids]
        torch.distributed.all_gather_object(ids_by_rank, ids)
        all_ids = (row_id for rank_ids in ids_by_rank for row_id in rank_ids)
        raise divergence_error(Path(self._recipe.output), step + 1, reason, all_ids)

    def _grad_norm(self) -> Any:
        """Return the gradient norm before clipping, under stage 0, where DeepSpeed reports none."""
        import torch

        norm = partial(torch.linalg.vector_norm, dtype=torch.float32)
        grads = (p.grad for p in self._engine.module.parameters() if p.grad is not None)
        return norm(torch.stack([norm(grad) for grad in grads]))

    def _log_step(self, step: int, row: dict[str, Any], totals: StepTotals, seconds: float) -> None:
        self.tokens += totals.tokens
        self.supervised_tokens += totals.supervised_tokens
        work = StepWork(totals.tokens, totals.squared_lengths, seconds)
        row = {
            "step": step,
            "epoch": step / self._sampler.steps_per_epoch,
            **row,
            "tokens": self.tokens,
            "targets": self.supervised_tokens,
            "tokens_per_second": work.tokens / work.seconds,
            "mfu": self._flops.mfu(work) / self._group.world_size if self._flops else None,
            "memory_gib": peak_memory(),
        }
        self.last = row
        if step % self._recipe.logging.log_every == 0 or step == len(self._sampler):
            self._log_row(row)

    def _log_row(self, row: dict[str, Any]) -> None:
        if self._logger:
            self._logger.log(row)

    def _save(self, step: int) -> None:
        notes = {
            "tokens": self.tokens,
            "targets": self.supervised_tokens,
            "run": resume_fingerprint(self._recipe),
        }
        out, keep = Path(self._recipe.output), self._recipe.checkpoints.save_total_limit
        checkpoints.save(out, step, self._state, self._group, notes=notes, keep=keep)

    def _save_and_stop(self, step: int) -> None:
        """Save a checkpoint and raise Terminated."""
        saved = Path(self._recipe.output) / checkpoints.CHECKPOINTS_FOLDER / f"step-{step:08}"
        if step and not saved.exists():
            self._save(step)
        self._group.barrier()
        raise Terminated(f"stopped by SIGTERM after step {step:,}; continue with --resume")

    def _request_stop(self, number: int, frame: Any) -> None:
        self._stop_requested = True


def accepts_item_count(model: Any) -> bool:
    """Return True if a model's forward divides the loss by `num_items_in_batch`."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if (accepts := getattr(base, "accepts_loss_kwargs", None)) is not None:
        return bool(accepts)
    parameters = inspect.signature(base.forward).parameters.values()
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


def peak_memory() -> float:
    """Return the peak memory in GiB, of the GPU if there is one, otherwise of the process."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
