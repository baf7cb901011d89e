"""Scores adjusted for the length of answers: how models would compare at equal length."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import require_numpy
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.quantiles import t_quantile


class ScoredAnswer(NamedTuple):
    """One score of one answer; answers whose value is None are left out of the regression."""

    value: float | None
    length: int
    root: Hashable


@dataclass(frozen=True, slots=True)
class AdjustedMean:
    """A model's mean, and what it would be at the mean length of all models' answers."""

    n: int
    mean: float
    adjusted: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LengthAdjustment:
    """Adjusted means; `slope`: points that go with a length e times as long, within models."""

    slope: float
    slope_error: float
    models: dict[str, AdjustedMean]


def adjust_for_length(
    scores: Mapping[str, Sequence[ScoredAnswer]], *, level: float = LEVEL
) -> LengthAdjustment:
    """Regress the score on log(1 + words) with a term for each model, clustered by root (CR1).

    All models share the slope, so that it measures the effect of length on this judge and not how
    the models differ; length is centred over all scores. Raises SeqitError if a model has no
    scores, if there are no more roots than terms, or if lengths do not vary within models.
    """
    np = require_numpy("a length-adjusted score")
    rows = [(name, answer) for name, answers in scores.items() for answer in answers]
    rows = [(name, answer) for name, answer in rows if answer.value is not None]
    names = list(scores)
    if empty := [name for name in names if all(name != other for other, _ in rows)]:
        raise SeqitError(f"{empty[0]} has no score; leave it out")
    values = np.array([answer.value for _, answer in rows], float)
    lengths = np.log1p(np.array([answer.length for _, answer in rows], float))
    model_of = np.array([names.index(name) for name, _ in rows])
    design = np.zeros((len(rows), len(names) + 1))
    design[np.arange(len(rows)), model_of] = 1
    design[:, -1] = lengths - lengths.mean()
    within = lengths - (np.bincount(model_of, lengths) / np.bincount(model_of))[model_of]
    order = {root: i for i, root in enumerate({answer.root: None for _, answer in rows})}
    cluster = np.array([order[answer.root] for _, answer in rows])
    n, k, roots = len(rows), len(names) + 1, len(order)
    if roots <= k or float(np.abs(within).max()) < 1e-12:
        raise SeqitError(
            "the slope of the score over length cannot be estimated: it needs more roots than "
            "models, and answers of different lengths"
        )
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ (design.T @ values)
    scaled = design * (values - design @ coefficients)[:, None]
    sums = np.stack([np.bincount(cluster, column, roots) for column in scaled.T], axis=1)
    correction = roots / (roots - 1) * (n - 1) / (n - k)
    errors = np.sqrt(np.diag(correction * bread @ (sums.T @ sums) @ bread))
    t = t_quantile((1 + level) / 2, roots - 1)
    models = {}
    for i, name in enumerate(names):
        own = model_of == i
        adjusted, error = float(coefficients[i]), float(errors[i])
        low, high = adjusted - t * error, adjusted + t * error
        mean = float(values[own].mean())
        models[name] = AdjustedMean(int(own.sum()), mean, adjusted, error, low, high)
    return LengthAdjustment(float(coefficients[-1]), float(errors[-1]), models)
