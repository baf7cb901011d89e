"""The plan of a run: what it trains on, in how many steps, and what it needs; known before it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqit.train.data.dataset import PreparedDataset, counts_of
from seqit.train.data.packing import efficiency
from seqit.train.data.sampler import batches
from seqit.train.model.memory_estimate import Load, ModelSize, Need, needs
from seqit.train.recipe import TrainRecipe


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What will be done.

    counts: of seqit.train.data.prepare; ranks: on all nodes. sequences: of one epoch, in which
    `filled` is the share of tokens that are of rows. rows_a_step, tokens_a_step: on average.
    rounds: micro-batches of a rank in one step; busy: the share of them that have work. needs: by
    stage of ZeRO, None where the model's size is unknown.
    """

    recipe: TrainRecipe
    counts: dict[str, Any]
    ranks: int
    stage: int
    sequences: int
    filled: float
    steps: int
    steps_an_epoch: int
    sequences_a_step: int
    rows_a_step: float
    tokens_a_step: float
    rounds: int
    busy: float
    needs: list[Need] | None

    @property
    def trained(self) -> int:
        """Rows of the training split."""
        return int(self.counts["rows"].get("train", 0))


def make_plan(
    recipe: TrainRecipe, folder: Path, ranks: int, size: ModelSize | None, has_gpu: bool
) -> TrainPlan | None:
    """Return the plan for rows prepared in a folder; None where no row is left to train on."""
    from seqit.train.loop.trainer import zero_stage

    prepared = PreparedDataset.open(folder)
    if not len(prepared):
        return None
    data, tuning = recipe.data, recipe.tuning
    lengths = [int(length) for length in prepared.lengths]
    schedule = batches(lengths, tuning, data, ranks)
    first = schedule.step(0)
    micros = [micro for rank in first for micro in rank]
    widest = max(
        max(lengths[r] for b in micro for r in b) * len(micro) for micro in micros if micro
    )
    tokens = schedule.micro_batch * data.length if data.packing else widest
    load = Load(tokens, ranks, has_gpu)
    return TrainPlan(
        recipe=recipe,
        counts=counts_of(folder),
        ranks=ranks,
        stage=zero_stage(recipe, ranks),
        sequences=schedule.bins_per_epoch,
        filled=_filled(schedule.epoch(0), lengths, data.length, data.packing, schedule.micro_batch),
        steps=len(schedule),
        steps_an_epoch=schedule.steps_per_epoch,
        sequences_a_step=schedule.bins_per_step,
        rows_a_step=len(lengths) / schedule.steps_per_epoch,
        tokens_a_step=sum(lengths) / schedule.steps_per_epoch,
        rounds=len(first[0]),
        busy=sum(map(bool, micros)) / len(micros),
        needs=needs(size, recipe.memory, recipe.lora, load) if size else None,
    )


def _filled(
    bins: list[list[int]], lengths: list[int], length: int, packing: bool, micro_batch: int
) -> float:
    """Return the share of the computed tokens that are of rows, and no padding."""
    if packing:
        return efficiency(lengths, bins, length)
    sizes = [lengths[row] for (row,) in bins]
    micros = [sizes[i : i + micro_batch] for i in range(0, len(sizes), micro_batch)]
    return sum(sizes) / sum(max(each) * len(each) for each in micros)


class RunLayout(NamedTuple):
    """Where a run computes: ranks on all nodes, and whether they have GPUs."""

    ranks: int
    has_gpu: bool


def place_of(recipe: TrainRecipe) -> RunLayout:
    """Return how many ranks this machine and the recipe come to."""
    import torch

    from seqit.train.launch.nodes import ranks_of, read_hostfile

    launch = recipe.launch
    if launch.hostfile:
        ranks = sum(read_hostfile(launch.hostfile).values())
    else:
        ranks = ranks_of(launch) * launch.nodes
    return RunLayout(ranks, torch.cuda.is_available())
