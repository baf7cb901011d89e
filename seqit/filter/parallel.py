"""The filter over files, batch by batch, in several processes or in this one.

A worker reads, validates, adopts and judges with the functions that one process uses. What
depends on other rows, the memory of a rule and the account, stays here and hears of the rows in
their order, so that output, rejects and account are those of one process.
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
    Finished,
    RememberingRules,
    RuleVerdict,
    apply_rejections,
    checker_for,
    finisher_for,
    in_order,
)
from seqit.filter.rule import Rule
from seqit.records.readers.rows import (
    RawRow,
    RowUnit,
    batches_of,
    rows_from,
    to_records,
    unit_of,
    weight,
)
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.writers.sink import encode
from seqit.stores.sources import open_source

Judged = tuple[Any, str, int, bytes | None, RuleVerdict | Failure | None, DedupKeys | None]
"""The four fields of a Row, what became of it, and its mark where a rule remembers.

A plain tuple: hundreds of thousands a second go through a pipe. A row that passed in another
process comes as the bytes to write, without its value.
"""


def read_passing(
    names: Iterable[str],
    stats: RunStats,
    before_read: Callable[[], None],
    *,
    rules: Sequence[Rule],
    workers: WorkerPool | None = None,
) -> Iterator[Row]:
    """Yield the rows of the sources that no rule objects to, as `read_records` and `apply` would.

    With workers the rows have bytes and no value. Raises SeqitError where a source cannot be
    opened or a worker dies.
    """
    pool = workers or WorkerPool(1)
    pool.before_wait = before_read
    rules = in_order(rules)
    memory = RememberingRules(rules)
    judge = _Judge(rules, memory, stats.keeps_rejects, keeps_values=workers is None)
    judged = _judged(names, judge, pool)
    return apply_rejections(_told(judged, memory, stats), memory, stats)


def _judged(names: Iterable[str], judge: "_Judge", workers: WorkerPool) -> Iterator[list[Judged]]:
    for name in names:
        with open_source(name, workers.about_to_wait) as source:
            unit = unit_of(source)
            function = partial(judge, name=source.name, unit=unit)
            yield from workers.map(function, batches_of(source, unit), weight)


def _told(
    batches: Iterable[list[Judged]], memory: RememberingRules, stats: RunStats
) -> Iterator[tuple[Row, RuleVerdict | None]]:
    """Tell the account of each row in its turn, and ask the rules that remember."""
    for batch in batches:
        memory.look_up([mark for *_, mark in batch if mark])
        for value, source, line, raw, outcome, mark in batch:
            stats.read += 1
            row = Row(value, source, line, raw)
            if isinstance(outcome, Failure):
                stage, reason, message, evidence = outcome
                stats.fail(row, stage, reason, message, **evidence)
            elif mark and (verdict := memory.judge(mark)):
                if value is None and raw and stats.keeps_rejects:
                    row = row.changed(orjson.loads(raw))
                yield row, verdict
            else:
                yield row, outcome


class _Judge:
    """Does with parts of a source all that depends on a row alone; runs in the workers."""

    def __init__(
        self,
        rules: Sequence[Rule],
        memory: RememberingRules,
        keeps_rejects: bool,
        keeps_values: bool,
    ) -> None:
        self._memory = memory
        self._ask = checker_for(rules)
        self._finish = finisher_for(rules)
        self._keeps_values = keeps_values
        self._keeps_rejects = keeps_rejects or keeps_values
        self._ledger = _FilterBuffer()

    def __call__(self, parts: Iterable[RawRow], name: str, unit: RowUnit) -> list[list[Judged]]:
        """Return one batch, with the marks of all that passed, which are made together."""
        ledger = self._ledger
        judged = ledger.judged = []
        passed: list[Finished] = []
        places: list[int] = []
        for row in to_records(rows_from(parts, name, unit, ledger), ledger):
            verdict = self._ask(row.value)
            if verdict is None:
                places.append(len(judged))
                passed.append(self._finish(row.value))
                judged.append(self._passed(row, passed[-1].record))
            else:
                value = row.value if self._keeps_rejects else None
                judged.append((value, name, row.line, None, verdict, None))
        for place, mark in zip(places, self._memory.marks(passed), strict=True):
            judged[place] = (*judged[place][:-1], mark)
        return [judged]

    def _passed(self, row: Row, record: Record) -> Judged:
        raw = row.raw if record is row.value else None
        if self._keeps_values:
            return record, row.source, row.line, raw, None, None
        value = None
        if raw is None:  # adopted or masked, and by that valid
            try:
                raw = encode(record)
            except RowError:
                value = record  # whoever writes it finds out the same, and says it
        return value, row.source, row.line, raw, None, None


class _FilterBuffer(RunStats):
    """Keeps what became of each row, in order, to be told to the account of the run."""

    def __init__(self) -> None:
        super().__init__("")
        self.judged: list[Judged] = []

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        failure = Failure(stage, reason, message, evidence)
        self.judged.append((row.value, row.source, row.line, row.raw, failure, None))
