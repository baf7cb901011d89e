"""The plan of a run, made before it starts: rows, steps and an estimate of the memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqit.train.data.dataset import PreparedDataset, load_counts
from seqit.train.data.packing import efficiency
from seqit.train.data.sampler import BatchSampler, SequenceRows
from seqit.train.model.memory_estimate import (
    MemoryEstimate,
    ModelSize,
    RankLoad,
    estimate_memory,
)
from seqit.train.recipe import TrainRecipe


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """The plan of a run.

    counts: of seqit.train.data.prepare. ranks: on all nodes. stage: of ZeRO. sequences: of one
    epoch. token_efficiency: share of the tokens that are not padding. rows_per_step,
    tokens_per_step: averages. gradient_accumulation_steps: micro-batches per rank and step.
    utilization: share of the micro-batches that are not empty. memory_estimates: one per ZeRO
    stage, None if the model's size is unknown.
    """

    recipe: TrainRecipe
    counts: dict[str, Any]
    ranks: int
    stage: int
    sequences: int
    token_efficiency: float
    steps: int
    steps_per_epoch: int
    sequences_per_step: int
    rows_per_step: float
    tokens_per_step: float
    gradient_accumulation_steps: int
    utilization: float
    memory_estimates: list[MemoryEstimate] | None

    @property
    def training_rows(self) -> int:
        """Number of rows in the training split."""
        return int(self.counts["rows"].get("train", 0))


def make_plan(
    recipe: TrainRecipe, folder: Path, ranks: int, size: ModelSize | None, has_gpu: bool
) -> TrainPlan | None:
    """Return the plan for the rows prepared in a folder; None if there is no training row."""
    from seqit.train.loop.trainer import zero_stage

    prepared = PreparedDataset.open(folder)
    if not len(prepared):
        return None
    data, tuning = recipe.data, recipe.tuning
    lengths = [int(length) for length in prepared.lengths]
    sampler = BatchSampler(lengths, tuning, data, ranks)
    first_step = sampler.micro_batches(0)
    micro_batches = [micro_batch for rank in first_step for micro_batch in rank]
    padded_sizes = [
        max(lengths[row] for rows in micro_batch for row in rows) * len(micro_batch)
        for micro_batch in micro_batches
        if micro_batch
    ]
    tokens = sampler.micro_batch * data.length if data.packing else max(padded_sizes)
    load = RankLoad(tokens, ranks, has_gpu)
    estimates = estimate_memory(size, recipe.memory, recipe.lora, load) if size else None
    return TrainPlan(
        recipe=recipe,
        counts=load_counts(folder),
        ranks=ranks,
        stage=zero_stage(recipe, ranks),
        sequences=sampler.sequences_per_epoch,
        token_efficiency=_token_efficiency(
            sampler.epoch(0), lengths, data.length, data.packing, sampler.micro_batch
        ),
        steps=len(sampler),
        steps_per_epoch=sampler.steps_per_epoch,
        sequences_per_step=sampler.sequences_per_step,
        rows_per_step=len(lengths) / sampler.steps_per_epoch,
        tokens_per_step=sum(lengths) / sampler.steps_per_epoch,
        gradient_accumulation_steps=len(first_step[0]),
        utilization=sum(map(bool, micro_batches)) / len(micro_batches),
        memory_estimates=estimates,
    )


def _token_efficiency(
    sequences: list[SequenceRows], lengths: list[int], length: int, packing: bool, micro_batch: int
) -> float:
    """Return the share of the tokens of an epoch that are not padding."""
    if packing:
        return efficiency(lengths, sequences, length)
    sizes = [lengths[row] for (row,) in sequences]
    micro_batches = [sizes[i : i + micro_batch] for i in range(0, len(sizes), micro_batch)]
    return sum(sizes) / sum(max(each) * len(each) for each in micro_batches)


class RunLayout(NamedTuple):
    """The number of ranks on all nodes, and whether they have GPUs."""

    ranks: int
    has_gpu: bool


def run_layout(recipe: TrainRecipe) -> RunLayout:
    """Return the layout of a run on this machine or on the nodes that the recipe names."""
    import torch

    from seqit.train.launch.nodes import local_world_size, read_hostfile

    launch = recipe.launch
    if launch.hostfile:
        ranks = sum(read_hostfile(launch.hostfile).values())
    else:
        ranks = local_world_size(launch) * launch.nodes
    return RunLayout(ranks, torch.cuda.is_available())
