"""The mean of scores with its uncertainty; scores of one root are one draw, and so is a run."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import fsum, isfinite, sqrt
from typing import Any

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import numpy_for
from seqit.scores.stats.quantiles import t_quantile
from seqit.scores.stats.runs import (
    RESAMPLES,
    Arm,
    RootScores,
    crossed_variance,
    pigeonhole,
    runs_of,
)

LEVEL = 0.95
_CELLS = 1 << 22  # of a block of resamples: 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n scores from `roots` seeds; without a mean, or without bounds, these are None.

    `missing` scores (refused, unparseable, failed) are no numbers and entered nothing. `runs`
    trainings made the scores, those of both models where it is a difference; where there were
    several, the error covers them and has its own `degrees` of freedom, else roots - 1.
    """

    n: int
    missing: int
    roots: int
    mean: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 1
    degrees: float | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """Scores by root: how many, and their sum, in the same order.

    `arms` has them by root and run, of a mean once, of a difference for each model; empty where
    no model has several runs.
    """

    counts: Sequence[float]
    totals: Sequence[float]
    missing: int
    is_binary: bool
    arms: Sequence[Arm] = ()


def mean_interval(
    values: Sequence[float | None],
    roots: Sequence[Hashable] | None = None,
    runs: Sequence[Hashable] | None = None,
    *,
    level: float = LEVEL,
    method: str = "analytic",
    seed: int = 0,
) -> Estimate:
    """Return the mean of the values that are numbers; without roots each is a root of its own.

    analytic: cluster-robust standard error (CR1) and Student's t with roots - 1 degrees of
    freedom; for values that are all 0 or 1 Wilson's interval at the effective number of values,
    which stays honest near 0 and 1. bootstrap: percentiles over resampled roots. Values of several
    runs are clustered by run too, see runs.py. Raises SeqitError for another method or
    lengths that differ.
    """
    return estimate(sums_by_root(values, roots, runs), level=level, method=method, seed=seed)


def sums_by_root(
    values: Sequence[float | None],
    roots: Sequence[Hashable] | None = None,
    runs: Sequence[Hashable] | None = None,
) -> Sums:
    """Return counts and sums of the values that are numbers, roots in order of appearance."""
    for name, keys in (("roots", roots), ("runs", runs)):
        if keys is not None and len(keys) != len(values):
            raise SeqitError(f"{len(values)} values have {len(keys)} {name}; give one for each")
    counts: dict[Hashable, int] = {}
    totals: dict[Hashable, float] = {}
    parts: dict[tuple[Hashable, Hashable], RootScores] = {}
    missing, is_binary = 0, True
    for place, value in enumerate(values):
        if value is None or not isfinite(value):
            missing += 1
            continue
        root = place if roots is None else roots[place]
        counts[root] = counts.get(root, 0) + 1
        totals[root] = totals.get(root, 0.0) + value
        is_binary = is_binary and value in (0, 1)
        if runs is not None:
            part = parts.get((root, runs[place]), RootScores(root, runs[place], 0, 0.0))
            parts[root, part.run] = part._replace(weight=part.weight + 1, total=part.total + value)
    arms = crossed([list(parts.values())])
    return Sums(list(counts.values()), list(totals.values()), missing, is_binary, arms)


def crossed(arms: Sequence[Arm]) -> Sequence[Arm]:
    """Return the arms where one of them has several runs; none where roots are all there is."""
    return arms if any(runs_of(arm) > 1 for arm in arms) else ()


def estimate(
    sums: Sums, *, level: float = LEVEL, method: str = "analytic", seed: int = 0
) -> Estimate:
    """Return the mean of the sums with its interval, as mean_interval does."""
    if method not in ("analytic", "bootstrap"):
        raise SeqitError(f"{method!r} is no kind of interval; take analytic or bootstrap")
    n, roots = int(sum(sums.counts)), len(sums.counts)
    if not n:
        return Estimate(0, sums.missing, 0, runs=0)
    runs = sum(map(runs_of, sums.arms)) or 1
    mean = fsum(sums.totals) / n
    if roots < 2:
        return Estimate(n, sums.missing, roots, mean, runs=runs)
    pairs = zip(sums.totals, sums.counts, strict=True)
    squares = fsum((total - mean * count) ** 2 for total, count in pairs)
    error, degrees = sqrt(squares * roots / (roots - 1)) / n, None
    if sums.arms:
        variance, degrees = crossed_variance(error**2, roots, sums.arms)
        error = sqrt(variance)
    if method == "bootstrap":
        crossing = pigeonhole(sums.arms, level, seed) if sums.arms else None
        low, high = crossing or _percentiles(sums, level, seed)
    else:
        low, high = bounds(
            mean, error, n, roots, level=level, is_binary=sums.is_binary, degrees=degrees
        )
    return Estimate(n, sums.missing, roots, mean, error, low, high, runs, degrees)


def bounds(
    mean: float,
    error: float,
    n: int,
    roots: int,
    *,
    level: float,
    is_binary: bool,
    degrees: float | None = None,
) -> tuple[float, float]:
    """Return the analytic interval of a mean; roots >= 2, whose degrees of freedom by default."""
    t = t_quantile((1 + level) / 2, degrees or roots - 1)
    if not is_binary:
        return mean - t * error, mean + t * error
    # Brown, Cai & DasGupta 2001; with clusters at the effective size (Dean & Pagano 2015).
    spread = mean * (1 - mean)
    effective = spread * n / ((n - 1) * error**2) if spread > 0 and error > 0 else float(roots)
    shrink = 1 + t * t / effective
    middle = (mean + t * t / (2 * effective)) / shrink
    half = t / shrink * sqrt(spread / effective + (t / (2 * effective)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _percentiles(sums: Sums, level: float, seed: int) -> tuple[float, float]:
    np = numpy_for("a bootstrap interval")
    table = np.array([sums.totals, sums.counts])
    roots = table.shape[1]
    draws = np.random.default_rng(seed)
    means: list[Any] = []
    block = max(1, _CELLS // roots)
    for start in range(0, RESAMPLES, block):
        chosen = draws.integers(roots, size=(min(block, RESAMPLES - start), roots))
        total, count = table[:, chosen].sum(axis=2)
        means.append(total / count)
    edges = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(means), edges)
    return float(low), float(high)
