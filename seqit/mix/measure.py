"""Row statistics of a mixture that depend on one row alone, so workers can compute them."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

from seqit.engine.outcome_buffer import Failure
from seqit.engine.processes import WorkerPool
from seqit.errors import RowError
from seqit.mix.strata import Strata
from seqit.mix.tokens import TokenCounter
from seqit.records.identity import stable_hash
from seqit.records.readers.rows import (
    RawRow,
    RowUnit,
    decode_rows,
    fail_row,
    read_raw_batches,
    row_unit,
    to_records,
    undecoded_size,
)
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.writers.sink import encode
from seqit.stores.sources import open_source

T = TypeVar("T")

_BATCH_SIZE = 256
"""Rows that one process measures at once: enough for the threads of a tokenizer."""

MeasuredRow = tuple[bytes, str, int, int, int, int, int, str]
"""Bytes, source, line, hash, checksum and tokens of a row, the hash of its root, its stratum.

A plain tuple, since hundreds of thousands per second go through a pipe.
"""

FailedRow = tuple[Any, str, int, bytes | None, Failure]
"""The four fields of a Row, and how it failed."""

MeasuredOutcome = MeasuredRow | FailedRow
"""The outcome of a row; the two are distinguished by their length."""

SourceReader = Callable[["RowMeasurer"], Iterator[MeasuredRow]]
"""Reads one source; counts rows that fail in the run's statistics."""


@dataclass(frozen=True, slots=True)
class RowMeasurer:
    """Measures records one by one; roots are hashed only if `has_roots`."""

    seed: int
    counter: TokenCounter
    strata: Strata | None = None
    has_roots: bool = False

    def measure_raw(self, parts: list[RawRow], name: str, unit: RowUnit) -> list[MeasuredOutcome]:
        """Decode raw rows of the source NAME and return their outcomes, in order."""
        buffer = _MeasureBuffer()
        return self.measure(to_records(decode_rows(parts, name, unit, buffer), buffer), buffer)

    def measure(
        self, records: Iterable[Row], buffer: "_MeasureBuffer | None" = None
    ) -> list[MeasuredOutcome]:
        """Return the outcomes of rows of records, in order, with the failures in the buffer."""
        buffer = buffer or _MeasureBuffer()
        for row in records:
            buffer.add(row)
        values = [entry.value for entry in buffer.entries if isinstance(entry, Row)]
        tokens = iter(self.counter.count(values))
        return [
            self._measure(entry, next(tokens)) if isinstance(entry, Row) else entry
            for entry in buffer.entries
        ]

    def _measure(self, row: Row, tokens: int) -> MeasuredRow:
        value: Record = row.value
        raw = row.raw or b""
        root = (
            stable_hash(self.seed, value["lineage"]["root"], 0, "held-out") if self.has_roots else 0
        )
        stratum = self.strata.stratum_of(value) if self.strata else ""
        row_hash = stable_hash(self.seed, value["id"], 0, "mix")
        return raw, row.source, row.line, row_hash, zlib.crc32(raw), tokens, root >> 64, stratum


class _MeasureBuffer(RunStats):
    """Collects the rows of a batch and those that failed, in order."""

    def __init__(self) -> None:
        super().__init__("")
        self.entries: list[Row | FailedRow] = []

    def add(self, row: Row) -> None:
        """Add a row with the bytes that will be written."""
        if row.raw is None:
            try:
                row.raw = encode(row.value)
            except RowError as error:  # nested too deep, after normalization
                fail_row(self, row, error, "write")
                return
        self.entries.append(row)

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        failure = Failure(stage, reason, message, evidence)
        self.entries.append((row.value, row.source, row.line, row.raw, failure))


def reader_for_files(
    names: Sequence[str],
    stats: RunStats,
    before_read: Callable[[], None] | None = None,
    workers: WorkerPool | None = None,
) -> SourceReader:
    """Return a function that reads and measures the records of files, here or in workers.

    Rows and statistics are the same in both cases. The function raises SeqitError if a file cannot
    be opened or a worker dies.
    """

    def read(measurer: RowMeasurer) -> Iterator[MeasuredRow]:
        for name in names:
            with open_source(name, workers.about_to_wait if workers else before_read) as source:
                function = partial(measurer.measure_raw, name=source.name, unit=row_unit(source))
                batches = read_raw_batches(source)
                if workers:
                    found = workers.map(function, batches, undecoded_size)
                else:
                    found = chain.from_iterable(map(function, batches))
                yield from _apply_outcomes(_count_read(found, stats), stats)

    if workers and before_read:
        workers.before_wait = before_read
    return read


def reader_for_records(records: Iterable[Row], stats: RunStats) -> SourceReader:
    """Return a function that measures rows of records that are already read and counted."""

    def read(measurer: RowMeasurer) -> Iterator[MeasuredRow]:
        batches = map(measurer.measure, _batches(iter(records)))
        return _apply_outcomes(chain.from_iterable(batches), stats)

    return read


def _apply_outcomes(entries: Iterable[MeasuredOutcome], stats: RunStats) -> Iterator[MeasuredRow]:
    for entry in entries:
        if len(entry) == 5:
            *row, (stage, reason, message, evidence) = entry
            stats.fail(Row(*row), stage, reason, message, **evidence)
        else:
            yield entry


def _count_read(entries: Iterable[MeasuredOutcome], stats: RunStats) -> Iterator[MeasuredOutcome]:
    for entry in entries:
        stats.read += 1
        yield entry


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, _BATCH_SIZE)):
        yield batch
