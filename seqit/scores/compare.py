"""Models side by side: means by benchmark, and their differences on the items they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.records.validation import did_you_mean
from seqit.scores.interval import LEVEL, Estimate, Sums, estimate
from seqit.scores.paired import Gaps, Paired, judge_gaps
from seqit.scores.power import POWER, items_needed, smallest_difference
from seqit.scores.sql import Database

_NUMBER = "CASE WHEN status = 'scored' AND isfinite(value) THEN value END"

# Several samples, votes or judges of one item are one score of it: their mean.
_CELLS = f"""
CREATE TEMP TABLE cells AS
SELECT coalesce(benchmark, '') AS benchmark, metric, model, id, position, any_value(root) AS root,
    avg({_NUMBER}) AS value, count({_NUMBER}) AS n, sum({_NUMBER}) AS total,
    bool_and(coalesce({_NUMBER}, 0) IN (0, 1)) AS is_binary, count(*) AS rows,
    min(value) AS least, max(value) AS most
FROM scores WHERE control IS NULL AND list_contains(?, model) GROUP BY ALL
"""

_SUMS = """
SELECT sum(n)::DOUBLE, sum(total), sum(rows)::BIGINT, bool_and(is_binary) FROM cells
WHERE benchmark = ? AND metric = ? AND model = ? GROUP BY root ORDER BY root
"""

_GAPS = """
SELECT count(two.value - one.value)::DOUBLE, coalesce(sum(two.value - one.value), 0),
    count(*) - count(two.value - one.value),
    count(*) FILTER (two.value - one.value = 1), count(*) FILTER (two.value - one.value = -1),
    bool_and(coalesce(one.value, 0) IN (0, 1) AND coalesce(two.value, 0) IN (0, 1))
FROM cells AS one JOIN cells AS two
    ON one.id = two.id AND one.position IS NOT DISTINCT FROM two.position
WHERE one.benchmark = ? AND one.metric = ? AND one.model = ?
    AND two.benchmark = one.benchmark AND two.metric = one.metric AND two.model = ?
GROUP BY two.root ORDER BY two.root
"""

_TASKS = """
SELECT benchmark, metric, min(least) >= 0 AND max(most) <= 1 AND NOT metric LIKE 'quality%'
    AND metric <> 'reward' FROM cells GROUP BY benchmark, metric ORDER BY benchmark, metric
"""

_STATUS = """
SELECT status, count(*) FROM scores
WHERE control IS NULL AND status <> 'scored' AND coalesce(benchmark, '') = ? AND metric = ?
    AND model = ? GROUP BY status ORDER BY status
"""

_APPEARANCE = """
SELECT model FROM (SELECT model, row_number() OVER () AS place FROM scores WHERE control IS NULL)
GROUP BY model ORDER BY min(place)
"""

_JUDGES = """
SELECT list(DISTINCT judge ORDER BY judge) FROM scores
WHERE control IS NULL AND coalesce(benchmark, '') = ? AND metric = ?
"""


@dataclass(frozen=True, slots=True)
class Task:
    """What a column of the table holds; a share is shown in percent."""

    benchmark: str
    metric: str
    is_share: bool
    judges: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Benchmark and metric, as a heading."""
        return f"{self.benchmark} {self.metric}".strip()


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one task; `paired` compares it with the first model, which has none."""

    model: str
    task: Task
    estimate: Estimate
    statuses: dict[str, int]
    paired: Paired | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How a comparison is computed: level of intervals, their kind, the test, the seed."""

    level: float = LEVEL
    interval: str = "analytic"
    test: str = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models in the order of the table's rows, the tasks, and a cell for each that there is."""

    models: list[str]
    tasks: list[Task]
    cells: dict[tuple[str, Task], Cell]


def compare(
    database: Database, models: Sequence[str] = (), options: Options | None = None
) -> Comparison:
    """Compare the models (default: all, in order of appearance) with the first of them.

    Control rows are left out; a score that is none is counted, never a number. Raises SeqitError
    where there are no scores, UsageError for a model that has none.
    """
    options = options or Options()
    if "scores" not in database.views():
        raise SeqitError("there are no scores in the files given: seqit score and judge write them")
    known = [name for (name,) in database.fetch(_APPEARANCE)]
    if not known:
        raise SeqitError(
            "the files given hold no score of a model: seqit score and judge write them"
        )
    for name in models:
        if name not in known:
            there = f"the files have {', '.join(map(repr, known)) or 'none'}"
            hint = did_you_mean(name, known)
            raise UsageError(f"there is no score of a model {name!r}{hint}; {there}")
    models = list(dict.fromkeys(models or known))
    database.fetch(_CELLS, [models])
    tasks = []
    for benchmark, metric, is_share in database.fetch(_TASKS):
        judges = database.fetch(_JUDGES, [benchmark, metric])[0][0]
        tasks.append(Task(benchmark, metric, bool(is_share), tuple(judges)))
    cells = {}
    for task in tasks:
        for model in models:
            if cell := _cell(database, task, model, models[0], options):
                cells[model, task] = cell
    return Comparison(models, [task for task in tasks if any(t == task for _, t in cells)], cells)


def _cell(database: Database, task: Task, model: str, first: str, options: Options) -> Cell | None:
    where = task.benchmark, task.metric
    rows = database.fetch(_SUMS, [*where, model])
    if not rows:
        return None
    missing = int(sum(total - n for n, _, total, _ in rows))
    sums = _sums([(n, total) for n, total, _, _ in rows], missing, all(row[3] for row in rows))
    found = estimate(sums, level=options.level, method=options.interval, seed=options.seed)
    statuses = dict(database.fetch(_STATUS, [*where, model])) if missing else {}
    paired = None if model == first else _paired(database, task, first, model, options)
    return Cell(model, task, found, statuses, paired)


def _paired(
    database: Database, task: Task, first: str, model: str, options: Options
) -> Paired | None:
    """Return the difference on shared items; None where the two share none."""
    where = task.benchmark, task.metric
    rows = database.fetch(_GAPS, [*where, first, model])
    if not rows:
        return None
    count = "SELECT count(*) FROM cells WHERE benchmark = ? AND metric = ? AND model IN (?, ?)"
    items = database.fetch(count, [*where, first, model])[0][0]
    _, _, missing, gained, lost, _ = map(sum, zip(*rows, strict=True))
    shared = int(sum(row[0] for row in rows)) + missing
    gaps = Gaps(
        _sums([row[:2] for row in rows], missing, is_binary=False),
        items - 2 * shared,
        gained,
        lost,
        all(row[5] for row in rows),
    )
    return judge_gaps(
        gaps, level=options.level, method=options.interval, test=options.test, seed=options.seed
    )


def _sums(rows: Sequence[Any], missing: int, is_binary: bool) -> Sums:
    there = [row for row in rows if row[0]]
    return Sums([n for n, _ in there], [total for _, total in there], missing, is_binary)


@dataclass(frozen=True, slots=True)
class Power:
    """What a paired comparison can show; differences in the metric's own unit."""

    cell: Cell
    smallest: float
    needed: int | None
    power: float


def powers(comparison: Comparison, power: float = POWER, level: float = LEVEL) -> Iterator[Power]:
    """Yield what each comparison shows: the smallest difference, and the items that are needed.

    `needed` is for the difference that was seen; None where it is 0. Where roots hold several
    items both count items of roots like these.
    """
    for cell in comparison.cells.values():
        found = cell.paired.difference if cell.paired else None
        if found is None or not found.error or found.mean is None:
            continue
        deviation = found.error * found.n**0.5  # by item, the design effect of roots included
        smallest = smallest_difference(found.n, deviation, power=power, level=level)
        needed = None
        if found.mean:
            needed = items_needed(found.mean, deviation, power=power, level=level)
        yield Power(cell, smallest, needed, power)
