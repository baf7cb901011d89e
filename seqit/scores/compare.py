"""Models side by side: means by benchmark, and their differences on the items they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seqit.errors import SeqitError, UsageError
from seqit.records.validation import did_you_mean
from seqit.scores.db.database import Database
from seqit.scores.grouped_scores import FIELDS, ComparisonTask, GroupedScores
from seqit.scores.stats.interval import LEVEL, Estimate, estimate
from seqit.scores.stats.paired import Paired, paired_difference
from seqit.scores.stats.power import POWER, items_needed, smallest_difference

_APPEARANCE = """
SELECT model FROM (SELECT model, row_number() OVER () AS place FROM scores WHERE control IS NULL)
GROUP BY model ORDER BY min(place)
"""

_METRICS = """
SELECT DISTINCT metric FROM scores WHERE control IS NULL AND list_contains(?, model) ORDER BY metric
"""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model on one task; `paired` compares it with the first model, which has none."""

    model: str
    task: ComparisonTask
    estimate: Estimate
    statuses: dict[str, int]
    paired: Paired | None = None


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How a comparison is computed: level of intervals, their kind, the test, the seed.

    `by` names the FIELDS to break it down by; without `metrics` all of them are compared.
    """

    level: float = LEVEL
    interval: str = "analytic"
    test: str = "auto"
    seed: int = 0
    by: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models in the order of the table's rows, the tasks, and a cell for each that there is.

    `left_out`: how many scores of a task lack a field that the comparison is broken down by.
    """

    models: list[str]
    tasks: list[ComparisonTask]
    cells: dict[tuple[str, ComparisonTask], ModelResult]
    by: tuple[str, ...] = ()
    left_out: tuple[tuple[ComparisonTask, str, int], ...] = ()


def compare(
    database: Database, models: Sequence[str] = (), options: CompareOptions | None = None
) -> Comparison:
    """Compare the models (default: all, in order of appearance) with the first of them.

    Control rows are left out; a score that is none is counted, never a number. Raises SeqitError
    where there are no scores, UsageError for a model or a metric that has none, or for a field
    that is none of FIELDS.
    """
    options = options or CompareOptions()
    models = _known_models(database, models)
    for metric in options.metrics:
        known = [name for (name,) in database.fetch(_METRICS, [models])]
        if metric not in known:
            raise UsageError(_absent("with the metric", metric, known))
    for field in options.by:
        if field not in FIELDS:
            hint = did_you_mean(field, list(FIELDS))
            raise UsageError(f"scores are not broken down by {field!r}{hint}: {', '.join(FIELDS)}")
    cells = GroupedScores(database, models, options.metrics, options.by)
    left_out = tuple(cells.left_out())
    tasks = list(cells.tasks())
    if not tasks and left_out:
        fields = dict.fromkeys(field for _, field, _ in left_out)
        raise SeqitError(f"no score of these models has {' and '.join(fields)}: leave that out")
    found = {}
    for task in tasks:
        for model in models:
            if cell := _cell(cells, task, model, models[0], options):
                found[model, task] = cell
    return Comparison(models, tasks, found, options.by, left_out)


def _known_models(database: Database, models: Sequence[str]) -> list[str]:
    if "scores" not in database.views():
        raise SeqitError("there are no scores in the files given: seqit score and judge write them")
    known = [name for (name,) in database.fetch(_APPEARANCE)]
    if not known:
        raise SeqitError(
            "the files given hold no score of a model: seqit score and judge write them"
        )
    for name in models:
        if name not in known:
            raise UsageError(_absent("of a model", name, known))
    return list(dict.fromkeys(models or known))


def _absent(what: str, name: str, known: list[str]) -> str:
    there = f"the files have {', '.join(map(repr, known)) or 'none'}"
    return f"there is no score {what} {name!r}{did_you_mean(name, known)}; {there}"


def _cell(
    cells: GroupedScores, task: ComparisonTask, model: str, first: str, options: CompareOptions
) -> ModelResult | None:
    sums = cells.sums(task, model)
    if not sums:
        return None
    found = estimate(sums, level=options.level, method=options.interval, seed=options.seed)
    statuses = cells.statuses(task, model) if sums.missing else {}
    gaps = None if model == first else cells.gaps(task, first, model)
    if gaps is None:
        return ModelResult(model, task, found, statuses)
    paired = paired_difference(
        gaps, level=options.level, method=options.interval, test=options.test, seed=options.seed
    )
    return ModelResult(model, task, found, statuses, paired)


@dataclass(frozen=True, slots=True)
class Power:
    """What a paired comparison can show; differences in the metric's own unit."""

    cell: ModelResult
    smallest: float
    needed: int | None
    power: float


def powers(comparison: Comparison, power: float = POWER, level: float = LEVEL) -> Iterator[Power]:
    """Yield what each comparison shows: the smallest difference, and the items that are needed.

    `needed` is for the difference that was seen; None where it is 0, and where models have several
    runs: more items do not narrow what differs between runs. Where roots hold several items both
    count items of roots like these.
    """
    for cell in comparison.cells.values():
        found = cell.paired.difference if cell.paired else None
        if found is None or not found.error or found.mean is None:
            continue
        deviation = found.error * found.n**0.5  # by item, the design effect of roots included
        smallest = smallest_difference(found.n, deviation, power=power, level=level)
        needed = None
        if found.mean and found.degrees is None:
            needed = items_needed(found.mean, deviation, power=power, level=level)
        yield Power(cell, smallest, needed, power)
