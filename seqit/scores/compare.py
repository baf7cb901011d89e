"""Comparison of models: means by benchmark, and differences on the items they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seqit.errors import SeqitError, UsageError
from seqit.records.validation import did_you_mean
from seqit.scores.db.database import Database
from seqit.scores.grouped_scores import FIELDS, ComparisonTask, GroupedScores
from seqit.scores.stats.interval import LEVEL, Estimate, estimate
from seqit.scores.stats.paired import PairedComparison, paired_difference
from seqit.scores.stats.power import POWER, items_needed, smallest_difference

_MODELS = """
SELECT model FROM (SELECT model, row_number() OVER () AS place FROM scores WHERE control IS NULL)
GROUP BY model ORDER BY min(place)
"""

_METRICS = """
SELECT DISTINCT metric FROM scores WHERE control IS NULL AND list_contains(?, model) ORDER BY metric
"""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model on one task.

    `paired` compares it with the first model; it is None for the first model itself.
    """

    model: str
    task: ComparisonTask
    estimate: Estimate
    statuses: dict[str, int]
    paired: PairedComparison | None = None


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How a comparison is computed: level and kind of the intervals, the test, the seed.

    `by` names the FIELDS to break it down by; without `metrics` all metrics are compared.
    """

    level: float = LEVEL
    interval: str = "analytic"
    test: str = "auto"
    seed: int = 0
    by: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models in the order of the table's rows, tasks, and a result for each pair with scores.

    `left_out`: how many scores of a task lack a field that the comparison is broken down by.
    """

    models: list[str]
    tasks: list[ComparisonTask]
    results: dict[tuple[str, ComparisonTask], ModelResult]
    by: tuple[str, ...] = ()
    left_out: tuple[tuple[ComparisonTask, str, int], ...] = ()


def compare(
    database: Database, models: Sequence[str] = (), options: CompareOptions | None = None
) -> Comparison:
    """Compare the models (default: all, in order of appearance) with the first of them.

    Control rows are left out; missing scores are counted and never replaced by a number. Raises
    SeqitError if there are no scores, UsageError if a model or a metric has none, or if a field is
    not one of FIELDS.
    """
    options = options or CompareOptions()
    models = _resolve_models(database, models)
    for metric in options.metrics:
        known = [name for (name,) in database.fetch(_METRICS, [models])]
        if metric not in known:
            raise UsageError(_not_found("with the metric", metric, known))
    for field in options.by:
        if field not in FIELDS:
            hint = did_you_mean(field, list(FIELDS))
            known_fields = ", ".join(FIELDS)
            raise UsageError(f"scores cannot be broken down by {field!r}{hint}: {known_fields}")
    groups = GroupedScores(database, models, options.metrics, options.by)
    left_out = tuple(groups.left_out())
    tasks = list(groups.tasks())
    if not tasks and left_out:
        fields = dict.fromkeys(field for _, field, _ in left_out)
        raise SeqitError(f"no score of these models has {' and '.join(fields)}: leave that out")
    results = {}
    for task in tasks:
        for model in models:
            if result := _model_result(groups, task, model, models[0], options):
                results[model, task] = result
    return Comparison(models, tasks, results, options.by, left_out)


def _resolve_models(database: Database, models: Sequence[str]) -> list[str]:
    """Return the given models, or all; raises if they have no scores."""
    if "scores" not in database.views():
        raise SeqitError(
            "there are no scores in the files given: seqit score and seqit judge write them"
        )
    known = [name for (name,) in database.fetch(_MODELS)]
    if not known:
        raise SeqitError(
            "the files given contain no score of a model: seqit score and seqit judge write them"
        )
    for name in models:
        if name not in known:
            raise UsageError(_not_found("of a model", name, known))
    return list(dict.fromkeys(models or known))


def _not_found(what: str, name: str, known: list[str]) -> str:
    available = f"the files have {', '.join(map(repr, known)) or 'none'}"
    return f"there is no score {what} {name!r}{did_you_mean(name, known)}; {available}"


def _model_result(
    groups: GroupedScores, task: ComparisonTask, model: str, first: str, options: CompareOptions
) -> ModelResult | None:
    sums = groups.sums(task, model)
    if not sums:
        return None
    mean = estimate(sums, level=options.level, method=options.interval, seed=options.seed)
    statuses = groups.statuses(task, model) if sums.missing else {}
    differences = None if model == first else groups.paired_differences(task, first, model)
    if differences is None:
        return ModelResult(model, task, mean, statuses)
    paired = paired_difference(
        differences,
        level=options.level,
        method=options.interval,
        test=options.test,
        seed=options.seed,
    )
    return ModelResult(model, task, mean, statuses, paired)


@dataclass(frozen=True, slots=True)
class PowerAnalysis:
    """What a paired comparison can show; differences are in the metric's own unit."""

    result: ModelResult
    smallest_difference: float
    pairs_needed: int | None
    power: float


def power_analyses(
    comparison: Comparison, power: float = POWER, level: float = LEVEL
) -> Iterator[PowerAnalysis]:
    """Yield for each paired comparison the smallest difference it can show and the pairs it needs.

    `pairs_needed` is for the observed difference. It is None if that is 0, and if models have
    several runs: more items do not reduce the variance between runs. If roots have several items
    each, both numbers count items of such roots.
    """
    for result in comparison.results.values():
        difference = result.paired.difference if result.paired else None
        if difference is None or not difference.error or difference.mean is None:
            continue
        deviation = difference.error * difference.n**0.5  # by item, with the roots' design effect
        smallest = smallest_difference(difference.n, deviation, power=power, level=level)
        needed = None
        if difference.mean and difference.degrees is None:
            needed = items_needed(difference.mean, deviation, power=power, level=level)
        yield PowerAnalysis(result, smallest, needed, power)
