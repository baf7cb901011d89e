"""Pointwise scores at equal length: what is left of a model's lead when length is accounted for."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import numpy_for
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.quantiles import t_quantile


class Sized(NamedTuple):
    """One score of one answer; a value that is None has no part in the regression."""

    value: float | None
    length: int
    root: Hashable


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A model's mean, and what it would be at the length that is common to all models."""

    n: int
    mean: float
    adjusted: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Adjustment:
    """`slope`: points that go with a length e times as long, within the models."""

    slope: float
    slope_error: float
    models: dict[str, Adjusted]


def length_adjusted(scores: Mapping[str, Sequence[Sized]], *, level: float = LEVEL) -> Adjustment:
    """Regress the score on log(1 + words) with a term for each model, clustered by root (CR1).

    All models share the slope, so that it measures what length does to this judge and not how the
    models differ; length is centred over all scores. Raises SeqitError for a model without
    scores, fewer roots than terms, or lengths that do not vary.
    """
    np = numpy_for("a length-adjusted score")
    rows = [(name, each) for name, found in scores.items() for each in found]
    rows = [(name, each) for name, each in rows if each.value is not None]
    names = list(scores)
    if lost := [name for name in names if all(name != other for other, _ in rows)]:
        raise SeqitError(f"{lost[0]} has no score; leave it out")
    values = np.array([each.value for _, each in rows], float)
    lengths = np.log1p(np.array([each.length for _, each in rows], float))
    which = np.array([names.index(name) for name, _ in rows])
    table = np.zeros((len(rows), len(names) + 1))
    table[np.arange(len(rows)), which] = 1
    table[:, -1] = lengths - lengths.mean()
    within = lengths - (np.bincount(which, lengths) / np.bincount(which))[which]
    order = {root: place for place, root in enumerate({each.root: None for _, each in rows})}
    cluster = np.array([order[each.root] for _, each in rows])
    n, k, roots = len(rows), len(names) + 1, len(order)
    if roots <= k or float(np.abs(within).max()) < 1e-12:
        raise SeqitError(
            "the slope of the score over length cannot be estimated: it needs more roots than "
            "models, and answers of different lengths"
        )
    bread = np.linalg.inv(table.T @ table)
    found = bread @ (table.T @ values)
    off = table * (values - table @ found)[:, None]
    sums = np.stack([np.bincount(cluster, column, roots) for column in off.T], axis=1)
    small = roots / (roots - 1) * (n - 1) / (n - k)
    errors = np.sqrt(np.diag(small * bread @ (sums.T @ sums) @ bread))
    t = t_quantile((1 + level) / 2, roots - 1)
    models = {}
    for place, name in enumerate(names):
        own = which == place
        at, error = float(found[place]), float(errors[place])
        models[name] = Adjusted(
            int(own.sum()), float(values[own].mean()), at, error, at - t * error, at + t * error
        )
    return Adjustment(float(found[-1]), float(errors[-1]), models)
