"""What a rank computes in each step, made while the step before is computed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from seqit.train.data.collator import MicroBatch
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.data.sampler import Bin, MicroBatchRows, Schedule

Collate = Callable[[list[list[Example]]], MicroBatch]


class Portion(NamedTuple):
    """One forward pass of a rank.

    counts: False where the rank has no work left in the step, and computes along with the others
    for nothing: ZeRO's ranks gather weights together.
    """

    micro: MicroBatch
    counts: bool
    row_ids: list[str]


class BatchLoader:
    """The portions of one rank. `collate` makes tensors of bins of examples."""

    def __init__(self, prepared: PreparedDataset, collate: Collate) -> None:
        self._prepared = prepared
        self._collate = collate

    def steps(self, schedule: Schedule, rank: int, start: int) -> Iterator[list[Portion]]:
        """Yield the portions of each step from `start` on, one step ahead of the reader."""
        with ThreadPoolExecutor(1, "feed") as pool:
            ahead = None
            for step in range(start, len(schedule)):
                now = ahead or pool.submit(self._step, schedule, rank, step)
                more = step + 1 < len(schedule)
                ahead = pool.submit(self._step, schedule, rank, step + 1) if more else None
                yield now.result()

    def _step(self, schedule: Schedule, rank: int, step: int) -> list[Portion]:
        return self.portions(schedule.step(step)[rank], schedule.batch(step)[0])

    def portions(self, micros: list[MicroBatchRows], filler: Bin) -> list[Portion]:
        """Return micro-batches as tensors; an empty one computes on `filler`."""
        return [self._portion(bins or [filler], bool(bins)) for bins in micros]

    def _portion(self, bins: list[Bin], counts: bool) -> Portion:
        examples = [[self._prepared.example(row) for row in rows] for rows in bins]
        ids = [example.row_id for each in examples for example in each] if counts else []
        return Portion(self._collate(examples), counts, ids)
