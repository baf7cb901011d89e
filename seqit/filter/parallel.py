"""Filter the rows of files batch by batch, in worker processes or in this one.

Workers decode, validate and normalize rows and run the stateless rules. What depends on other
rows, the stateful rules and the run's statistics, stays in this process and sees the rows in input
order, so that output, rejects and counts are the same as with one process.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson

from seqit.engine.outcome_buffer import Failure
from seqit.engine.processes import WorkerPool
from seqit.errors import RowError
from seqit.filter.engine import (
    DedupKeys,
    PassedRecord,
    RuleRejection,
    StatefulRules,
    apply_rejections,
    checker_for,
    finalizer_for,
    in_execution_order,
)
from seqit.filter.rule import Rule
from seqit.records.readers.rows import (
    RawRow,
    RowUnit,
    decode_rows,
    read_raw_batches,
    row_unit,
    to_records,
    undecoded_size,
)
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.writers.sink import encode
from seqit.stores.sources import open_source

CheckedRow = tuple[Any, str, int, bytes | None, RuleRejection | Failure | None, DedupKeys | None]
"""The four fields of a Row, why it was rejected or failed, and the keys of one that passed.

A plain tuple, since hundreds of thousands per second go through a pipe. A row that passed in a
worker has the bytes to write as `raw` and no value.
"""


def read_passing(
    names: Iterable[str],
    stats: RunStats,
    before_read: Callable[[], None],
    *,
    rules: Sequence[Rule],
    workers: WorkerPool | None = None,
) -> Iterator[Row]:
    """Yield the rows of the sources that pass all rules, as `read_records` and `apply` would.

    With workers the rows have `raw` and no value. Raises SeqitError if a source cannot be opened
    or a worker dies.
    """
    pool = workers or WorkerPool(1)
    pool.before_wait = before_read
    rules = in_execution_order(rules)
    stateful = StatefulRules(rules)
    checker = _RowChecker(rules, stateful, stats.keeps_rejects, keeps_values=workers is None)
    batches = _check_sources(names, checker, pool)
    return apply_rejections(_apply_outcomes(batches, stateful, stats), stateful, stats)


def _check_sources(
    names: Iterable[str], checker: "_RowChecker", workers: WorkerPool
) -> Iterator[list[CheckedRow]]:
    for name in names:
        with open_source(name, workers.about_to_wait) as source:
            unit = row_unit(source)
            function = partial(checker, name=source.name, unit=unit)
            yield from workers.map(function, read_raw_batches(source, unit), undecoded_size)


def _apply_outcomes(
    batches: Iterable[list[CheckedRow]], stateful: StatefulRules, stats: RunStats
) -> Iterator[tuple[Row, RuleRejection | None]]:
    """Count each row in `stats`, in order, and check it against the stateful rules."""
    for batch in batches:
        stateful.prefetch([keys for *_, keys in batch if keys])
        for value, source, line, raw, outcome, keys in batch:
            stats.read += 1
            row = Row(value, source, line, raw)
            if isinstance(outcome, Failure):
                stage, reason, message, evidence = outcome
                stats.fail(row, stage, reason, message, **evidence)
            elif keys and (rejected_by := stateful.check(keys)):
                if value is None and raw and stats.keeps_rejects:
                    row = row.with_value(orjson.loads(raw))
                yield row, rejected_by
            else:
                yield row, outcome


class _RowChecker:
    """Decodes rows and runs on them all that depends on one row alone; runs in the workers."""

    def __init__(
        self,
        rules: Sequence[Rule],
        stateful: StatefulRules,
        keeps_rejects: bool,
        keeps_values: bool,
    ) -> None:
        self._stateful = stateful
        self._check = checker_for(rules)
        self._finalize = finalizer_for(rules)
        self._keeps_values = keeps_values
        self._keeps_rejects = keeps_rejects or keeps_values
        self._buffer = _FilterBuffer()

    def __call__(self, parts: Iterable[RawRow], name: str, unit: RowUnit) -> list[list[CheckedRow]]:
        """Return one batch; the keys of all rows that passed are computed together."""
        buffer = self._buffer
        checked = buffer.checked = []
        passed: list[PassedRecord] = []
        indices: list[int] = []
        for row in to_records(decode_rows(parts, name, unit, buffer), buffer):
            rejected_by = self._check(row.value)
            if rejected_by is None:
                indices.append(len(checked))
                passed.append(self._finalize(row.value))
                checked.append(self._passed_row(row, passed[-1].record))
            else:
                value = row.value if self._keeps_rejects else None
                checked.append((value, name, row.line, None, rejected_by, None))
        for index, keys in zip(indices, self._stateful.keys(passed), strict=True):
            checked[index] = (*checked[index][:-1], keys)
        return [checked]

    def _passed_row(self, row: Row, record: Record) -> CheckedRow:
        raw = row.raw if record is row.value else None
        if self._keeps_values:
            return record, row.source, row.line, raw, None, None
        value = None
        if raw is None:  # normalized or masked, and therefore valid
            try:
                raw = encode(record)
            except RowError:
                value = record  # the writer gets the same error, and counts the row as failed
        return value, row.source, row.line, raw, None, None


class _FilterBuffer(RunStats):
    """Collects the outcome of each row of a batch, in order."""

    def __init__(self) -> None:
        super().__init__("")
        self.checked: list[CheckedRow] = []

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        failure = Failure(stage, reason, message, evidence)
        self.checked.append((row.value, row.source, row.line, row.raw, failure, None))
