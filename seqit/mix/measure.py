"""All that a mixture asks of one row alone: its lots, tokens and stratum; workers find it too."""

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
from seqit.mix.tokens import Counter
from seqit.records.identity import stable_hash
from seqit.records.readers.rows import (
    RawRow,
    RowUnit,
    batches_of,
    fail_row,
    rows_from,
    to_records,
    unit_of,
    weight,
)
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.writers.sink import encode
from seqit.stores.sources import open_source

T = TypeVar("T")

_BATCH = 256
"""Parts of a source that one process measures at once: enough for the threads of a tokenizer."""

Measured = tuple[bytes, str, int, int, int, int, int, str]
"""A row's bytes, source and line, then what is known of it: lot, check sum, tokens, lot of its
root, stratum.

A plain tuple: hundreds of thousands a second go through a pipe.
"""

Failed = tuple[Any, str, int, bytes | None, Failure]
"""The four fields of a Row, and how it failed."""

MeasuredOutcome = Measured | Failed
"""What became of a row; told apart by their lengths."""

SourceReader = Callable[["RowMeasurer"], Iterator[Measured]]
"""Reads one source; tells the account of what fails."""


@dataclass(frozen=True, slots=True)
class RowMeasurer:
    """Measures records, each by itself."""

    seed: int
    counter: Counter
    strata: Strata | None = None
    is_held_out: bool = False

    def parts(self, parts: list[RawRow], name: str, unit: RowUnit) -> list[MeasuredOutcome]:
        """Return what is known of the rows that stand in parts of the source NAME, in order."""
        ledger = _MeasureBuffer()
        return self.rows(to_records(rows_from(parts, name, unit, ledger), ledger), ledger)

    def rows(
        self, records: Iterable[Row], ledger: "_MeasureBuffer | None" = None
    ) -> list[MeasuredOutcome]:
        """Return what is known of the rows of records, in order, with what the ledger holds."""
        ledger = ledger or _MeasureBuffer()
        for row in records:
            ledger.take(row)
        values = [entry.value for entry in ledger.entries if isinstance(entry, Row)]
        tokens = iter(self.counter.count(values))
        return [
            self._measured(entry, next(tokens)) if isinstance(entry, Row) else entry
            for entry in ledger.entries
        ]

    def _measured(self, row: Row, tokens: int) -> Measured:
        value: Record = row.value
        raw = row.raw or b""
        root = (
            stable_hash(self.seed, value["lineage"]["root"], 0, "held-out")
            if self.is_held_out
            else 0
        )
        stratum = self.strata.of(value) if self.strata else ""
        own = stable_hash(self.seed, value["id"], 0, "mix")
        return raw, row.source, row.line, own, zlib.crc32(raw), tokens, root >> 64, stratum


class _MeasureBuffer(RunStats):
    """Keeps what became of each row of a batch, in order."""

    def __init__(self) -> None:
        super().__init__("")
        self.entries: list[Row | Failed] = []

    def take(self, row: Row) -> None:
        """Keep a row with the bytes that it will be written as."""
        if row.raw is None:
            try:
                row.raw = encode(row.value)
            except RowError as error:  # too deep, since it was adopted
                fail_row(self, row, error, "write")
                return
        self.entries.append(row)

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        failure = Failure(stage, reason, message, evidence)
        self.entries.append((row.value, row.source, row.line, row.raw, failure))


def read_measured(
    names: Sequence[str],
    stats: RunStats,
    before_read: Callable[[], None] | None = None,
    workers: WorkerPool | None = None,
) -> SourceReader:
    """Return what reads and measures the records of the files, here or in workers.

    The rows and what the account is told are the same. Raises SeqitError, once it is read, where
    a file cannot be opened or a worker dies.
    """

    def feed(measure: RowMeasurer) -> Iterator[Measured]:
        for name in names:
            with open_source(name, workers.about_to_wait if workers else before_read) as source:
                function = partial(measure.parts, name=source.name, unit=unit_of(source))
                batches = batches_of(source)
                if workers:
                    found = workers.map(function, batches, weight)
                else:
                    found = chain.from_iterable(map(function, batches))
                yield from _told(_counted(found, stats), stats)

    if workers and before_read:
        workers.before_wait = before_read
    return feed


def measured_rows(records: Iterable[Row], stats: RunStats) -> SourceReader:
    """Return what measures rows of records that are read, and counted, already."""

    def feed(measure: RowMeasurer) -> Iterator[Measured]:
        batches = map(measure.rows, _batches(iter(records)))
        return _told(chain.from_iterable(batches), stats)

    return feed


def _told(entries: Iterable[MeasuredOutcome], stats: RunStats) -> Iterator[Measured]:
    for entry in entries:
        if len(entry) == 5:
            *row, (stage, reason, message, evidence) = entry
            stats.fail(Row(*row), stage, reason, message, **evidence)
        else:
            yield entry


def _counted(entries: Iterable[MeasuredOutcome], stats: RunStats) -> Iterator[MeasuredOutcome]:
    for entry in entries:
        stats.read += 1
        yield entry


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, _BATCH)):
        yield batch
