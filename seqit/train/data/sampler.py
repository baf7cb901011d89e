"""The order of training: which rows make each global batch, known for any step without the rest.

A global batch is the same whatever the number of ranks, which share it; so a run goes on exactly
where it stopped, on another number of ranks too.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil

from seqit.records.identity import rng_for
from seqit.train.data.packing import pack
from seqit.train.recipe import Data, Tuning

Bin = list[int]
"""Row numbers that share one sequence; one alone where rows are not packed."""

MicroBatchRows = list[Bin]
"""What a rank computes at once; empty where the step has no work left for the rank."""

GROUPED = 50
"""Batches' worth of rows among which those of a length go together, where rows are not packed."""


class Schedule:
    """All steps of a run; each row comes exactly once an epoch.

    bins_per_step: sequences of one global batch (rows, where not packed); the last of an epoch
    may have fewer. bins_per_epoch, steps_per_epoch: what one epoch comes to.
    """

    def __init__(self, lengths: Sequence[int], tuning: Tuning, data: Data, ranks: int) -> None:
        self._lengths = [int(length) for length in lengths]
        if not self._lengths:
            raise ValueError("there are no rows to order")
        self._tuning = tuning
        self._data = data
        self._ranks = ranks
        self.micro_batch = tuning.micro_batch or 1
        self._rows = _rows_of_a_batch(self._lengths, tuning)
        self._bins = lru_cache(maxsize=2)(self._shuffled)
        self.bins_per_epoch = len(self._bins(0))
        if data.packing and tuning.batch_tokens:
            wanted = tuning.batch_tokens / data.length  # what a sequence holds when it is full
        else:
            wanted = self._rows * self.bins_per_epoch / len(self._lengths)
        self.bins_per_step = min(max(1, round(wanted)), self.bins_per_epoch)
        self.steps_per_epoch = ceil(self.bins_per_epoch / self.bins_per_step)

    def __len__(self) -> int:
        if self._tuning.max_steps is not None:
            return self._tuning.max_steps
        return ceil(self._tuning.epochs * self.steps_per_epoch)

    def batch(self, step: int) -> list[Bin]:
        """Return the global batch of a step, from 0: depends on data and seed alone."""
        epoch, number = divmod(step, self.steps_per_epoch)
        start = number * self.bins_per_step
        return self._bins(epoch)[start : start + self.bins_per_step]

    def epoch(self, number: int) -> list[Bin]:
        """Return all bins of an epoch, from 0, in their order."""
        return self._bins(number)

    def step(self, step: int) -> list[list[MicroBatchRows]]:
        """Return what each rank does in a step, from 0: micro-batches, of bins, of row numbers.

        All ranks have equally many micro-batches; some may be empty.
        """
        return deal(self.batch(step), self.micro_batch, self._ranks)

    def _shuffled(self, epoch: int) -> list[Bin]:
        """Return all bins of an epoch, in their order."""
        rng = rng_for(self._tuning.seed, "", epoch, "order")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        if self._data.packing:
            bins = pack([self._lengths[row] for row in order], self._data.length)
            rng.shuffle(bins)
            return [[order[place] for place in each] for each in bins]
        size = self._rows
        batches: list[list[int]] = []
        for start in range(0, len(order), size * GROUPED):
            near = sorted(
                order[start : start + size * GROUPED], key=lambda row: -self._lengths[row]
            )
            batches += [near[i : i + size] for i in range(0, len(near), size)]
        short = [batches.pop()] if len(batches[-1]) < size else []  # the last step of the epoch
        rng.shuffle(batches)
        return [[row] for batch in batches + short for row in batch]


def _rows_of_a_batch(lengths: list[int], tuning: Tuning) -> int:
    if tuning.batch_tokens is None:
        return tuning.batch
    return max(1, round(tuning.batch_tokens * len(lengths) / sum(lengths)))


def batches(lengths: Sequence[int], tuning: Tuning, data: Data, ranks: int) -> Schedule:
    """Return the steps of a run over rows of these lengths, in tokens."""
    return Schedule(lengths, tuning, data, ranks)


def one_epoch(
    lengths: Sequence[int], tuning: Tuning, data: Data, ranks: int
) -> list[list[MicroBatchRows]]:
    """Return every row once for each rank's part of an evaluation, as `Schedule.step` does."""
    sizes = [int(length) for length in lengths]
    if data.packing:
        bins = pack(sizes, data.length)
    else:
        bins = [[row] for row in sorted(range(len(sizes)), key=lambda row: -sizes[row])]
    return deal(bins, tuning.micro_batch or 1, ranks)


def deal(bins: list[Bin], micro_batch: int, ranks: int) -> list[list[MicroBatchRows]]:
    """Return each rank's micro-batches, as few as hold them and as even as can be.

    Neighbours go together, and the ranks compute neighbours at the same time.
    """
    count = ceil(len(bins) / (micro_batch * ranks)) * ranks
    size, larger = divmod(len(bins), count)
    ends = [number * size + min(number, larger) for number in range(count + 1)]
    micros = [bins[start:end] for start, end in pairwise(ends)]
    return [micros[rank::ranks] for rank in range(ranks)]
