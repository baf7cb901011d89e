"""Temporary tables for a comparison: scores grouped by task, model, item and run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seqit.scores.db.columns import IS_SCALE, literal
from seqit.scores.db.database import Database
from seqit.scores.stats.interval import RootSums, arms_with_runs
from seqit.scores.stats.paired import PairedDifferences
from seqit.scores.stats.runs import Arm, RootScores

FIELDS = ("chain", "position", "iteration", "operation", "benchmark", "teacher", "judge")
"""Columns of scores that a comparison can be broken down by."""

_SELECTED = """
CREATE TEMP VIEW selected AS
SELECT * REPLACE (coalesce(benchmark, '') AS benchmark), coalesce(training, '') AS run,
    CASE WHEN status = 'scored' AND isfinite(value) THEN value END AS number
FROM scores WHERE control IS NULL AND model IN ({models}){metrics}
"""

# Several samples, votes or judges of an item are one score of it: their mean.
_RUN_ITEMS = f"""
CREATE TEMP TABLE run_items AS
SELECT {{keys}}, {{item}}, model, {{run}} AS run, any_value(root) AS root, avg(number) AS value,
    count(number) AS n, sum(number) AS total, count(*) AS rows, min(value) AS lowest,
    max(value) AS highest,
    bool_and(coalesce(number, 0) IN (0, 1) AND NOT {IS_SCALE}) AS is_binary
FROM selected WHERE {{has_keys}} GROUP BY ALL
"""

_HAS_RUNS = """
SELECT coalesce(max(runs), 0) > 1 FROM (
    SELECT count(DISTINCT run) AS runs FROM selected GROUP BY model)
"""

_ITEMS_WITHOUT_RUNS = "CREATE TEMP VIEW items AS SELECT * FROM run_items"
"""Items if no model has several runs."""

_ITEMS = """
CREATE TEMP TABLE items AS
SELECT {keys}, {item}, model, any_value(root) AS root, avg(value) AS value, count(value) AS runs
FROM run_items GROUP BY ALL
"""

_TASKS = f"""
WITH shares AS (
    SELECT benchmark, metric, min(lowest) >= 0 AND max(highest) <= 1 AND NOT {IS_SCALE} AS is_share
    FROM run_items GROUP BY benchmark, metric
), judges AS (
    SELECT {{keys}}, list(DISTINCT judge ORDER BY judge) AS judges FROM selected GROUP BY ALL
)
SELECT is_share, judges, {{keys}} FROM (SELECT DISTINCT {{keys}} FROM run_items)
JOIN shares USING (benchmark, metric) JOIN judges USING ({{keys}}) ORDER BY {{keys}}
"""

_DIFFERENCES = """
SELECT two.root, count(two.value - one.value)::DOUBLE, coalesce(sum(two.value - one.value), 0),
    count(*) - count(two.value - one.value),
    count(*) FILTER (two.value - one.value = 1), count(*) FILTER (two.value - one.value = -1),
    bool_and(coalesce(one.value, 0) IN (0, 1) AND coalesce(two.value, 0) IN (0, 1))
FROM {pairs} GROUP BY two.root ORDER BY two.root
"""

# The weight of an item is 1, divided equally among its runs that have a number.
_ARM = """
SELECT two.root, own.run, sum(1 / {side}.runs), sum(own.value / {side}.runs)
FROM {pairs} JOIN run_items AS own ON {own} AND own.model = {side}.model
WHERE one.value IS NOT NULL AND two.value IS NOT NULL AND own.value IS NOT NULL
GROUP BY two.root, own.run ORDER BY two.root, own.run
"""


@dataclass(frozen=True, slots=True)
class ComparisonTask:
    """What models are compared on: a metric of a benchmark; a share is shown in percent.

    `by` has the fields it is broken down by, each with its value.
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
        """Benchmark and metric, and the values they are broken down by, as a heading."""
        parts = [f"{field} {value}" for field, value in self.by if field != "benchmark"]
        return ", ".join([self.scores, *parts])


class GroupedScores:
    """Scores of some models, without control items, grouped by task, item, model and run.

    Rows of one model with different `training` are different runs of it. Scores without a field
    of `by` (any of FIELDS) are left out.
    """

    def __init__(
        self, database: Database, models: Sequence[str], metrics: Sequence[str], by: Sequence[str]
    ) -> None:
        self._database = database
        self._by = by
        self._keys = ["benchmark", "metric", *(field for field in by if field != "benchmark")]
        self._item = [field for field in ("id", "position") if field not in by]
        names = ", ".join(map(literal, metrics))
        database.fetch(
            _SELECTED.format(
                models=", ".join(map(literal, models)),
                metrics=f" AND metric IN ({names})" if metrics else "",
            )
        )
        self._has_runs = database.fetch(_HAS_RUNS)[0][0]
        self._run = "run" if self._has_runs else "''"  # grouping by a constant is cheap
        has_keys = " AND ".join(f"{field} IS NOT NULL" for field in self._keys)
        keys = {"keys": ", ".join(self._keys), "item": ", ".join(self._item)}
        database.fetch(_RUN_ITEMS.format(**keys, run=self._run, has_keys=has_keys))
        database.fetch(_ITEMS.format(**keys) if self._has_runs else _ITEMS_WITHOUT_RUNS)

    def tasks(self) -> Iterator[ComparisonTask]:
        """Yield the tasks, ordered by benchmark, metric and the fields they are broken down by."""
        rows = self._database.fetch(_TASKS.format(keys=", ".join(self._keys)))
        for is_share, judges, *values in rows:
            fields = dict(zip(self._keys, values, strict=True))
            by = tuple((field, fields[field]) for field in self._by)
            yield ComparisonTask(
                fields["benchmark"], fields["metric"], bool(is_share), tuple(judges), by
            )

    def left_out(self) -> Iterator[tuple[ComparisonTask, str, int]]:
        """Yield task, field and the number of scores that lack this field of `by`."""
        for field in self._by:
            rows = self._database.fetch(
                f"SELECT benchmark, metric, count(*) FROM selected WHERE {field} IS NULL "
                "GROUP BY ALL ORDER BY ALL"
            )
            for benchmark, metric, count in rows:
                yield ComparisonTask(benchmark, metric, is_share=False), field, count

    def sums(self, task: ComparisonTask, model: str) -> RootSums | None:
        """Return the model's scores by root, and by run if there are several; None if none."""
        where, values = self._condition("run_items", task, model)
        rows = self._database.fetch(
            f"SELECT root, {self._run}, sum(n)::DOUBLE, sum(total), sum(rows)::BIGINT, "
            f"bool_and(is_binary) FROM run_items WHERE {where} GROUP BY ALL ORDER BY ALL",
            values,
        )
        if not rows:
            return None
        missing = int(sum(row[4] - row[2] for row in rows))
        return self._root_sums(rows, missing, all(row[5] for row in rows))

    def _root_sums(self, rows: Sequence[Sequence[Any]], missing: int, is_binary: bool) -> RootSums:
        """Sum rows of (root, run, count, total, …) by root, and by run if there are several."""
        scored = [row for row in rows if row[2]]
        if not self._has_runs:
            counts, totals = [row[2] for row in scored], [row[3] for row in scored]
            return RootSums(counts, totals, missing, is_binary)
        count_of: dict[Any, float] = {}
        total_of: dict[Any, float] = {}
        for root, _, count, total, *_ in scored:
            count_of[root] = count_of.get(root, 0) + count
            total_of[root] = total_of.get(root, 0) + total
        arms = arms_with_runs([[RootScores(*row[:4]) for row in scored]])
        return RootSums(list(count_of.values()), list(total_of.values()), missing, is_binary, arms)

    def statuses(self, task: ComparisonTask, model: str) -> dict[str, int]:
        """Return the number of missing scores by status."""
        where, values = self._condition("selected", task, model)
        return dict(
            self._database.fetch(
                f"SELECT status, count(*) FROM selected WHERE status <> 'scored' AND {where} "
                "GROUP BY status ORDER BY status",
                values,
            )
        )

    def paired_differences(
        self, task: ComparisonTask, first: str, model: str
    ) -> PairedDifferences | None:
        """Return `model` - `first` on the items that both were asked; None if there are none."""
        one, values = self._condition("one", task, first)
        two, more = self._condition("two", task, model)
        same = " AND ".join(f"one.{name} IS NOT DISTINCT FROM two.{name}" for name in self._item)
        pairs = f"items AS one JOIN items AS two ON {same} AND {one} AND {two}"
        values += more
        rows = self._database.fetch(_DIFFERENCES.format(pairs=pairs), values)
        if not rows:
            return None
        conditions = [self._condition("items", task, name)[0] for name in (first, model)]
        where = " OR ".join(f"({condition})" for condition in conditions)
        asked = self._database.fetch(f"SELECT count(*) FROM items WHERE {where}", values)[0][0]
        missing, gained, lost = (sum(row[column] for row in rows) for column in (3, 4, 5))
        scored = [row for row in rows if row[1]]
        alone = asked - 2 * (int(sum(row[1] for row in scored)) + missing)
        counts, totals = [row[1] for row in scored], [row[2] for row in scored]
        arms: Sequence[Arm] = ()
        if self._has_runs and scored:
            arms = arms_with_runs([self._arm(side, pairs, values) for side in ("one", "two")])
        sums = RootSums(counts, totals, missing, is_binary=False, arms=arms)
        return PairedDifferences(sums, alone, gained, lost, all(row[6] for row in rows))

    def _arm(self, side: str, pairs: str, values: Sequence[Any]) -> Arm:
        """Return the scores of side `one` or `two` on the paired items, by root and run."""
        own = " AND ".join(
            f"own.{name} IS NOT DISTINCT FROM {side}.{name}" for name in (*self._keys, *self._item)
        )
        rows = self._database.fetch(_ARM.format(side=side, pairs=pairs, own=own), values)
        return [RootScores(*row) for row in rows]

    def _condition(self, table: str, task: ComparisonTask, model: str) -> tuple[str, list[Any]]:
        """Return the condition for a table's rows of this task and model, with its values."""
        fields = {
            "benchmark": task.benchmark,
            "metric": task.metric,
            **dict(task.by),
            "model": model,
        }
        names = [*self._keys, "model"]
        where = " AND ".join(f"{table}.{name} = ?" for name in names)
        return where, [fields[name] for name in names]
