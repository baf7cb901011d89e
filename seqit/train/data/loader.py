"""Load the batches of a rank, one step ahead of the training loop."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from seqit.train.data.collator import MicroBatch
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.data.sampler import BatchSampler, MicroBatchRows, SequenceRows

Collate = Callable[[list[list[Example]]], MicroBatch]


class StepInput(NamedTuple):
    """The input of one forward pass of a rank.

    is_real: False if the rank has no rows left in the step, and only takes part in the forward
    pass because ZeRO's ranks gather weights together.
    """

    micro_batch: MicroBatch
    is_real: bool
    row_ids: list[str]


class BatchLoader:
    """Loads the step inputs of one rank; `collate` turns sequences of examples into tensors."""

    def __init__(self, prepared: PreparedDataset, collate: Collate) -> None:
        self._prepared = prepared
        self._collate = collate

    def steps(self, sampler: BatchSampler, rank: int, start: int) -> Iterator[list[StepInput]]:
        """Yield the inputs of each step from `start` on; the next step is loaded in a thread."""
        with ThreadPoolExecutor(1, "batch-loader") as pool:
            prefetched = None
            for step in range(start, len(sampler)):
                current = prefetched or pool.submit(self._load_step, sampler, rank, step)
                has_next = step + 1 < len(sampler)
                prefetched = (
                    pool.submit(self._load_step, sampler, rank, step + 1) if has_next else None
                )
                yield current.result()

    def _load_step(self, sampler: BatchSampler, rank: int, step: int) -> list[StepInput]:
        return self.step_inputs(sampler.micro_batches(step)[rank], sampler.batch(step)[0])

    def step_inputs(
        self, micro_batches: list[MicroBatchRows], filler: SequenceRows
    ) -> list[StepInput]:
        """Return micro-batches as tensors; an empty one is replaced by `filler`."""
        return [
            self._step_input(micro_batch_rows or [filler], is_real=bool(micro_batch_rows))
            for micro_batch_rows in micro_batches
        ]

    def _step_input(self, micro_batch_rows: MicroBatchRows, is_real: bool) -> StepInput:
        examples = [[self._prepared.example(row) for row in rows] for rows in micro_batch_rows]
        ids = [example.row_id for each in examples for example in each] if is_real else []
        return StepInput(self._collate(examples), is_real, ids)
