"""Scores in the tables that a comparison is made from: by task, model, run and item."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seqit.scores.db.columns import IS_SCALE, literal
from seqit.scores.db.database import Database
from seqit.scores.stats.interval import Sums, crossed
from seqit.scores.stats.paired import PairedDifferences
from seqit.scores.stats.runs import Arm, RootScores

FIELDS = ("chain", "position", "iteration", "operation", "benchmark", "teacher", "judge")
"""Columns of scores that a comparison can be broken down by."""

_CHOSEN = """
CREATE TEMP VIEW chosen AS
SELECT * REPLACE (coalesce(benchmark, '') AS benchmark), coalesce(training, '') AS run,
    CASE WHEN status = 'scored' AND isfinite(value) THEN value END AS number
FROM scores WHERE control IS NULL AND model IN ({models}){metrics}
"""

# Several samples, votes or judges of an item are one score of it: their mean.
_CELLS = f"""
CREATE TEMP TABLE cells AS
SELECT {{keys}}, {{item}}, model, {{run}} AS run, any_value(root) AS root, avg(number) AS value,
    count(number) AS n, sum(number) AS total, count(*) AS rows, min(value) AS least,
    max(value) AS most,
    bool_and(coalesce(number, 0) IN (0, 1) AND NOT {IS_SCALE}) AS is_binary
FROM chosen WHERE {{there}} GROUP BY ALL
"""

_HAS_RUNS = """
SELECT coalesce(max(runs), 0) > 1 FROM (
    SELECT count(DISTINCT run) AS runs FROM chosen GROUP BY model)
"""

_CELLS_ALONE = "CREATE TEMP VIEW items AS SELECT * FROM cells"
"""Items without several runs."""

_ITEMS = """
CREATE TEMP TABLE items AS
SELECT {keys}, {item}, model, any_value(root) AS root, avg(value) AS value, count(value) AS known
FROM cells GROUP BY ALL
"""

_TASKS = f"""
WITH shares AS (
    SELECT benchmark, metric, min(least) >= 0 AND max(most) <= 1 AND NOT {IS_SCALE} AS is_share
    FROM cells GROUP BY benchmark, metric
), judges AS (
    SELECT {{keys}}, list(DISTINCT judge ORDER BY judge) AS judges FROM chosen GROUP BY ALL
)
SELECT is_share, judges, {{keys}} FROM (SELECT DISTINCT {{keys}} FROM cells)
JOIN shares USING (benchmark, metric) JOIN judges USING ({{keys}}) ORDER BY {{keys}}
"""

_GAPS = """
SELECT two.root, count(two.value - one.value)::DOUBLE, coalesce(sum(two.value - one.value), 0),
    count(*) - count(two.value - one.value),
    count(*) FILTER (two.value - one.value = 1), count(*) FILTER (two.value - one.value = -1),
    bool_and(coalesce(one.value, 0) IN (0, 1) AND coalesce(two.value, 0) IN (0, 1))
FROM {pairs} GROUP BY two.root ORDER BY two.root
"""

# Each item weighs one, and each run that has a number on it as much.
_ARM = """
SELECT two.root, own.run, sum(1 / {side}.known), sum(own.value / {side}.known)
FROM {pairs} JOIN cells AS own ON {own} AND own.model = {side}.model
WHERE one.value IS NOT NULL AND two.value IS NOT NULL AND own.value IS NOT NULL
GROUP BY two.root, own.run ORDER BY two.root, own.run
"""


@dataclass(frozen=True, slots=True)
class ComparisonTask:
    """What models are compared on; a share is shown in percent.

    `by` has field and value of what it is broken down by.
    """

    benchmark: str
    metric: str
    is_share: bool
    judges: tuple[str, ...] = ()
    by: tuple[tuple[str, Any], ...] = ()

    @property
    def scores(self) -> str:
        """Benchmark and metric."""
        return f"{self.benchmark} {self.metric}".strip()

    @property
    def name(self) -> str:
        """Benchmark and metric, and what they are broken down by, as a heading."""
        parts = [f"{field} {value}" for field, value in self.by if field != "benchmark"]
        return ", ".join([self.scores, *parts])


class GroupedScores:
    """Scores of some models without planted answers, summed up by task, item, model and run.

    Rows of one model with another `training` are another run of it. Scores without a field of
    `by` (any of FIELDS) are left out.
    """

    def __init__(
        self, database: Database, models: Sequence[str], metrics: Sequence[str], by: Sequence[str]
    ) -> None:
        self._database = database
        self._by = by
        self._keys = ["benchmark", "metric", *(field for field in by if field != "benchmark")]
        self._item = [field for field in ("id", "position") if field not in by]
        chosen = ", ".join(map(literal, metrics))
        database.fetch(
            _CHOSEN.format(
                models=", ".join(map(literal, models)),
                metrics=f" AND metric IN ({chosen})" if metrics else "",
            )
        )
        self._has_runs = database.fetch(_HAS_RUNS)[0][0]
        self._run = "run" if self._has_runs else "''"  # a constant costs no grouping
        there = " AND ".join(f"{field} IS NOT NULL" for field in self._keys)
        keys = {"keys": ", ".join(self._keys), "item": ", ".join(self._item)}
        database.fetch(_CELLS.format(**keys, run=self._run, there=there))
        database.fetch(_ITEMS.format(**keys) if self._has_runs else _CELLS_ALONE)

    def tasks(self) -> Iterator[ComparisonTask]:
        """Yield the tasks in the order of benchmark, metric and what they are broken down by."""
        rows = self._database.fetch(_TASKS.format(keys=", ".join(self._keys)))
        for is_share, judges, *values in rows:
            of = dict(zip(self._keys, values, strict=True))
            by = tuple((field, of[field]) for field in self._by)
            yield ComparisonTask(of["benchmark"], of["metric"], bool(is_share), tuple(judges), by)

    def left_out(self) -> Iterator[tuple[ComparisonTask, str, int]]:
        """Yield how many scores of which metric have no such field to break them down by."""
        for field in self._by:
            rows = self._database.fetch(
                f"SELECT benchmark, metric, count(*) FROM chosen WHERE {field} IS NULL "
                "GROUP BY ALL ORDER BY ALL"
            )
            for benchmark, metric, count in rows:
                yield ComparisonTask(benchmark, metric, is_share=False), field, count

    def sums(self, task: ComparisonTask, model: str) -> Sums | None:
        """Return the model's scores by root, and by run where there are several; None for none."""
        where, values = self._of("cells", task, model)
        rows = self._database.fetch(
            f"SELECT root, {self._run}, sum(n)::DOUBLE, sum(total), sum(rows)::BIGINT, "
            f"bool_and(is_binary) FROM cells WHERE {where} GROUP BY ALL ORDER BY ALL",
            values,
        )
        if not rows:
            return None
        missing = int(sum(row[4] - row[2] for row in rows))
        return self._summed(rows, missing, all(row[5] for row in rows))

    def _summed(self, rows: Sequence[Sequence[Any]], missing: int, is_binary: bool) -> Sums:
        """Return rows of root, run, count and total by root, and where there are several by run."""
        there = [row for row in rows if row[2]]
        if not self._has_runs:
            return Sums([row[2] for row in there], [row[3] for row in there], missing, is_binary)
        counts: dict[Any, float] = {}
        totals: dict[Any, float] = {}
        for root, _, count, total, *_ in there:
            counts[root] = counts.get(root, 0) + count
            totals[root] = totals.get(root, 0) + total
        arms = crossed([[RootScores(*row[:4]) for row in there]])
        return Sums(list(counts.values()), list(totals.values()), missing, is_binary, arms)

    def statuses(self, task: ComparisonTask, model: str) -> dict[str, int]:
        """Return how many scores are missing for which reason."""
        where, values = self._of("chosen", task, model)
        return dict(
            self._database.fetch(
                f"SELECT status, count(*) FROM chosen WHERE status <> 'scored' AND {where} "
                "GROUP BY status ORDER BY status",
                values,
            )
        )

    def gaps(self, task: ComparisonTask, first: str, model: str) -> PairedDifferences | None:
        """Return the differences on the items that both were asked; None where there are none."""
        one, values = self._of("one", task, first)
        two, more = self._of("two", task, model)
        same = " AND ".join(f"one.{name} IS NOT DISTINCT FROM two.{name}" for name in self._item)
        pairs = f"items AS one JOIN items AS two ON {same} AND {one} AND {two}"
        values += more
        rows = self._database.fetch(_GAPS.format(pairs=pairs), values)
        if not rows:
            return None
        where = f"({self._of('items', task, first)[0]}) OR ({self._of('items', task, model)[0]})"
        asked = self._database.fetch(f"SELECT count(*) FROM items WHERE {where}", values)[0][0]
        missing, gained, lost = (sum(row[place] for row in rows) for place in (3, 4, 5))
        there = [row for row in rows if row[1]]
        alone = asked - 2 * (int(sum(row[1] for row in there)) + missing)
        counts, totals = [row[1] for row in there], [row[2] for row in there]
        arms: Sequence[Arm] = ()
        if self._has_runs and there:
            arms = crossed([self._arm(side, pairs, values) for side in ("one", "two")])
        sums = Sums(counts, totals, missing, is_binary=False, arms=arms)
        return PairedDifferences(sums, alone, gained, lost, all(row[6] for row in rows))

    def _arm(self, side: str, pairs: str, values: Sequence[Any]) -> Arm:
        own = " AND ".join(
            f"own.{name} IS NOT DISTINCT FROM {side}.{name}" for name in (*self._keys, *self._item)
        )
        rows = self._database.fetch(_ARM.format(side=side, pairs=pairs, own=own), values)
        return [RootScores(*row) for row in rows]

    def _of(self, table: str, task: ComparisonTask, model: str) -> tuple[str, list[Any]]:
        """Return the condition for a table's rows of this task and model, with its values."""
        of = {"benchmark": task.benchmark, "metric": task.metric, **dict(task.by), "model": model}
        names = [*self._keys, "model"]
        return " AND ".join(f"{table}.{name} = ?" for name in names), [of[name] for name in names]
