"""The order of training: the rows of each global batch, computed for any step on its own.

A global batch does not depend on the number of ranks that it is split over, so a run resumes
exactly where it stopped, also on another number of ranks.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil

from seqit.records.identity import rng_for
from seqit.train.data.packing import pack
from seqit.train.recipe import Data, Tuning

SequenceRows = list[int]
"""The rows of one sequence by number; a single one without packing."""

MicroBatchRows = list[SequenceRows]
"""The sequences of one forward pass of a rank; empty if the step has no rows left for it."""

LENGTH_GROUP_BATCHES = 50
"""Number of batches within which rows are grouped by length, without packing."""


class BatchSampler:
    """The batches of all steps of a run; every epoch contains each row exactly once.

    sequences_per_step: sequences of one global batch (rows without packing); the last batch of an
    epoch may have fewer.
    """

    def __init__(self, lengths: Sequence[int], tuning: Tuning, data: Data, ranks: int) -> None:
        self._lengths = [int(length) for length in lengths]
        if not self._lengths:
            raise ValueError("there are no rows to order")
        self._tuning = tuning
        self._data = data
        self._ranks = ranks
        self.micro_batch = tuning.micro_batch or 1
        self._batch_size = _batch_size(self._lengths, tuning)
        self._sequences = lru_cache(maxsize=2)(self._shuffle)
        self.sequences_per_epoch = len(self._sequences(0))
        if data.packing and tuning.batch_tokens:
            batch_sequences = tuning.batch_tokens / data.length  # if all sequences were full
        else:
            batch_sequences = self._batch_size * self.sequences_per_epoch / len(self._lengths)
        self.sequences_per_step = min(max(1, round(batch_sequences)), self.sequences_per_epoch)
        self.steps_per_epoch = ceil(self.sequences_per_epoch / self.sequences_per_step)

    def __len__(self) -> int:
        if self._tuning.max_steps is not None:
            return self._tuning.max_steps
        return ceil(self._tuning.epochs * self.steps_per_epoch)

    def batch(self, step: int) -> list[SequenceRows]:
        """Return the global batch of a step, from 0; it depends only on the data and the seed."""
        epoch, number = divmod(step, self.steps_per_epoch)
        start = number * self.sequences_per_step
        return self._sequences(epoch)[start : start + self.sequences_per_step]

    def epoch(self, number: int) -> list[SequenceRows]:
        """Return all sequences of an epoch, from 0, in their order."""
        return self._sequences(number)

    def micro_batches(self, step: int) -> list[list[MicroBatchRows]]:
        """Return the micro-batches of each rank in a step, from 0.

        All ranks have the same number of micro-batches; some may be empty.
        """
        return split_over_ranks(self.batch(step), self.micro_batch, self._ranks)

    def _shuffle(self, epoch: int) -> list[SequenceRows]:
        """Return all sequences of an epoch in their order."""
        rng = rng_for(self._tuning.seed, "", epoch, "order")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        if self._data.packing:
            bins = pack([self._lengths[row] for row in order], self._data.length)
            rng.shuffle(bins)
            return [[order[index] for index in each] for each in bins]
        size = self._batch_size
        batches: list[list[int]] = []
        for start in range(0, len(order), size * LENGTH_GROUP_BATCHES):
            group = order[start : start + size * LENGTH_GROUP_BATCHES]
            group.sort(key=lambda row: -self._lengths[row])
            batches += [group[i : i + size] for i in range(0, len(group), size)]
        short = [batches.pop()] if len(batches[-1]) < size else []  # the last step of the epoch
        rng.shuffle(batches)
        return [[row] for batch in batches + short for row in batch]


def _batch_size(lengths: list[int], tuning: Tuning) -> int:
    if tuning.batch_tokens is None:
        return tuning.batch_size
    return max(1, round(tuning.batch_tokens * len(lengths) / sum(lengths)))


def one_epoch(
    lengths: Sequence[int], tuning: Tuning, data: Data, ranks: int
) -> list[list[MicroBatchRows]]:
    """Return the micro-batches of each rank for an evaluation, which contain every row once."""
    sizes = [int(length) for length in lengths]
    if data.packing:
        sequences = pack(sizes, data.length)
    else:
        sequences = [[row] for row in sorted(range(len(sizes)), key=lambda row: -sizes[row])]
    return split_over_ranks(sequences, tuning.micro_batch or 1, ranks)


def split_over_ranks(
    sequences: list[SequenceRows], micro_batch: int, ranks: int
) -> list[list[MicroBatchRows]]:
    """Return the micro-batches of each rank: the fewest possible, of nearly equal size.

    Consecutive sequences share a micro-batch, and consecutive micro-batches run on different ranks
    at the same time.
    """
    count = ceil(len(sequences) / (micro_batch * ranks)) * ranks
    size, larger = divmod(len(sequences), count)
    ends = [number * size + min(number, larger) for number in range(count + 1)]
    micro_batches = [sequences[start:end] for start, end in pairwise(ends)]
    return [micro_batches[rank::ranks] for rank in range(ranks)]
