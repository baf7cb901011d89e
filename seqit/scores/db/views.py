"""Derived views over scores: means with intervals by several keys, judge health, and lineage.

Every mean leaves out missing scores, counts them, and clusters scores by root: the formulas of
stats/interval.py, in SQL. Control rows are only in judge_health. Several runs of a model are only
counted (`runs`): intervals that cover them are computed by seqit compare, see stats/runs.py.
"""

from collections.abc import Collection

from seqit.scores.db.columns import IS_SCALE, columns, quoted
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.quantiles import normal_quantile, t_quantile

_GROUP_BY = {
    "summary": ("model", "benchmark", "metric"),
    "by_iteration": ("model", "benchmark", "metric", "iteration"),
    "by_operation": ("model", "benchmark", "metric", "operation"),
    "by_chain": ("model", "benchmark", "metric", "chain"),
    "by_position": ("model", "benchmark", "metric", "chain", "position"),
}
"""The views of means, and the keys by which each groups."""

DERIVED_VIEWS = (*_GROUP_BY, "judge_health", "traced")
"""All views that are derived from others."""

_TABULATED = 60  # max degrees of freedom in the table of t; beyond, its expansion has 8 digits

_IS_WRONG = """CASE
    WHEN status <> 'scored' OR control IS NULL THEN NULL
    WHEN metric IN ('quality', 'quality_weighted') THEN CASE control WHEN 'good' THEN value < 3.5
        WHEN 'empty' THEN value > 1.5 WHEN 'off-topic' THEN value > 2.5 ELSE value > 4.9 END
    WHEN metric IN ('following', 'win') OR (metric = 'step' AND control <> 'step-dropped')
        THEN value <> (control = 'good')::INTEGER END"""
"""SQL: whether the judge is wrong about a control item; NULL if the score does not show it, as for
the steps of an answer from which one was dropped: the score does not say which one."""

_NUMBER = "CASE WHEN status = 'scored' AND isfinite(value) THEN value END"


def macros() -> list[str]:
    """Return the statements that define seqit_t(degrees), the two-sided quantile of Student's t."""
    table = ", ".join(repr(t_quantile((1 + LEVEL) / 2, k)) for k in range(1, _TABULATED + 1))
    z = normal_quantile((1 + LEVEL) / 2)
    terms = [
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    ]
    series = " + ".join(f"{term!r} / pow(degrees, {k})" for k, term in enumerate(terms))
    return [
        f"CREATE MACRO seqit_t(degrees) AS CASE WHEN degrees <= {_TABULATED} "
        f"THEN ([{table}])[degrees::INTEGER] ELSE {series} END"
    ]


def derived_views(base_views: Collection[str]) -> dict[str, str]:
    """Return the query of each view that the base views allow; none without scores."""
    if "scores" not in base_views:
        return {}
    summaries = {name: _summary(name) for name in _GROUP_BY}
    return summaries | {"judge_health": _judge_health(), "traced": _traced(base_views)}


def _summary(name: str) -> str:
    by = _GROUP_BY[name]
    steps = " AND position IS NOT NULL" if name == "by_position" else ""
    where = f"control IS NULL{steps}"
    if name in ("by_iteration", "by_operation", "by_chain"):
        where += f" AND {by[-1]} IS NOT NULL"
    # Hashes, because comparing texts of millions of groups would take half of the time.
    root_columns = "min(hash(judge)) AS lowest, max(hash(judge)) AS highest"
    sum_columns = "min(lowest) <> max(highest) AS several_judges"
    same = " AND ".join(f"bounds.{key} IS NOT DISTINCT FROM trained.{key}" for key in by)
    return f"""{_means(by, where, root_columns, sum_columns)}, trained AS (
    SELECT {", ".join(by)}, count(DISTINCT coalesce(training, '')) AS runs
    FROM scores WHERE {where} AND {_NUMBER} IS NOT NULL GROUP BY ALL
)
SELECT {_columns(by, "coalesce(runs, 0) AS runs, several_judges")}
FROM bounds LEFT JOIN trained ON {same} ORDER BY {_keys(by)}"""


def _judge_health() -> str:
    by = ("judge", "metric", "control")
    counts = ("refused", "unparseable", "failed")
    root_columns = [f"count(*) FILTER (status = '{name}') AS {name}" for name in counts]
    root_columns.append(f"count(*) FILTER ({_IS_WRONG}) AS wrong")
    root_columns.append(f"count(*) FILTER (({_IS_WRONG}) IS NOT NULL) AS known")
    sum_columns = [f"sum({name}) / sum(rows) AS {name}" for name in counts]
    sum_columns.append("sum(wrong) / nullif(sum(known), 0) AS wrong")
    more = ", ".join((*counts, "wrong"))
    means = _means(by, "true", ", ".join(root_columns), ", ".join(sum_columns))
    return f"{means} SELECT {_columns(by, more)} FROM bounds ORDER BY {_keys(by)}"


def _traced(base_views: Collection[str]) -> str:
    """Return the query for scores with item, seed row and training run, NULL if not given."""
    items = []
    if "records" in base_views:
        fields = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in columns("records"))
        items.append(f"SELECT id, struct_pack({fields}) AS row, 1 AS rank FROM records")
    if "responses" in base_views:
        items.append("SELECT id, item AS row, 2 AS rank FROM responses")
    selected, joins = ["scores.*"], []
    for name, key in (("item", "id"), ("seed", "root")):
        if items:
            joins.append(
                f"LEFT JOIN (SELECT id, arg_min(row, rank) AS row FROM "
                f"({' UNION ALL '.join(items)}) GROUP BY id) AS {name} ON {name}.id = scores.{key}"
            )
        selected.append(f"{name}.row AS {name}" if items else f"NULL::JSON AS {name}")
    if "trainings" in base_views:
        joins.append(
            "LEFT JOIN (SELECT DISTINCT ON (sha256) * FROM trainings) AS run "
            "ON scores.training IN (run.sha256, run.file)"
        )
    selected.append("run.training AS run" if "trainings" in base_views else "NULL::JSON AS run")
    return f"SELECT {', '.join(selected)} FROM scores {' '.join(joins)}"


def _means(by: tuple[str, ...], where: str, root_columns: str, sum_columns: str) -> str:
    """Return the WITH clause of a query for means by these columns; its last table is `bounds`."""
    keys = ", ".join(by)
    return f"""
WITH roots AS (
    SELECT {keys}, count({_NUMBER}) AS k, count(*) AS rows, coalesce(sum({_NUMBER}), 0) AS total,
        count(*) FILTER ({_NUMBER} IN (0, 1) AND NOT {IS_SCALE}) AS bits, {root_columns}
    FROM scores WHERE {where} GROUP BY {keys}, root
), sums AS (
    SELECT {keys}, sum(k)::BIGINT AS n, sum(rows)::BIGINT AS rows, sum(bits) = sum(k) AS is_binary,
        count(*) FILTER (k > 0) AS roots, sum(total) / nullif(sum(k), 0)::DOUBLE AS mean,
        sum(total * total) AS tt, sum(total * k) AS tk, sum(k * k)::DOUBLE AS kk, {sum_columns}
    FROM roots GROUP BY {keys}
), errors AS (
    SELECT *, CASE WHEN roots > 1 THEN sqrt(greatest(tt - 2 * mean * tk + mean * mean * kk, 0)
            * roots / (roots - 1)) / n END AS error,
        CASE WHEN roots > 1 THEN seqit_t(roots - 1) END AS t, mean * (1 - mean) AS spread
    FROM sums
), sizes AS (
    SELECT *, CASE WHEN spread > 0 AND error > 0 THEN spread * n / ((n - 1) * error * error)
        ELSE roots END AS size
    FROM errors
), bounds AS (
    SELECT *, CASE WHEN is_binary THEN (mean + t * t / (2 * size)) / (1 + t * t / size)
            ELSE mean END AS middle,
        CASE WHEN is_binary THEN t / (1 + t * t / size)
            * sqrt(spread / size + pow(t / (2 * size), 2)) ELSE t * error END AS half
    FROM sizes
)"""


def _columns(by: tuple[str, ...], more: str) -> str:
    # greatest() and least() ignore NULL.
    shares = "CASE WHEN is_binary AND half IS NOT NULL THEN"
    low = f"{shares} greatest(middle - half, 0) ELSE middle - half END AS low"
    high = f"{shares} least(middle + half, 1) ELSE middle + half END AS high"
    numbers = f"n, rows - n AS missing, roots, mean, error, {low}, {high}"
    return f"{_keys(by)}, {numbers}, {more}"


def _keys(by: tuple[str, ...]) -> str:
    return ", ".join(f"bounds.{key}" for key in by)
