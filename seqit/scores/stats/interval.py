"""Mean of scores with a confidence interval, clustered by root and by training run."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import fsum, isfinite, sqrt
from typing import Any

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import require_numpy
from seqit.scores.stats.quantiles import t_quantile
from seqit.scores.stats.runs import (
    RESAMPLES,
    Arm,
    RootScores,
    count_runs,
    crossed_variance,
    pigeonhole_bootstrap,
)

LEVEL = 0.95
_BLOCK_VALUES = 1 << 22  # of a block of resamples: 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n scores from `roots` roots; mean, error and bounds are None if undefined.

    `missing` scores (refused, unparseable, failed) are not numbers and are not part of the mean.
    `runs` counts the training runs, of both models for a difference; if a model has several, the
    error covers them and `degrees` are its degrees of freedom, else these are roots - 1.
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
class RootSums:
    """Counts and sums of the scores of each root, in the same order.

    `arms` has the scores by root and run: one arm for a mean, one for each model for a difference;
    empty if no model has several runs.
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
    """Return the mean of the values that are numbers; without `roots` each value is its own root.

    analytic: cluster-robust standard error (CR1) and Student's t with roots - 1 degrees of
    freedom; for values that are all 0 or 1 Wilson's interval at the effective number of values,
    which stays valid near 0 and 1. bootstrap: percentiles over resampled roots. Values of several
    runs are also clustered by run, see runs.py. Raises SeqitError for another method, or if the
    lengths differ.
    """
    return estimate(sums_by_root(values, roots, runs), level=level, method=method, seed=seed)


def sums_by_root(
    values: Sequence[float | None],
    roots: Sequence[Hashable] | None = None,
    runs: Sequence[Hashable] | None = None,
) -> RootSums:
    """Return counts and sums of the values that are numbers, roots in order of appearance."""
    for name, keys in (("roots", roots), ("runs", runs)):
        if keys is not None and len(keys) != len(values):
            raise SeqitError(f"{len(values)} values have {len(keys)} {name}; give one for each")
    counts: dict[Hashable, int] = {}
    totals: dict[Hashable, float] = {}
    by_run: dict[tuple[Hashable, Hashable], RootScores] = {}
    missing, is_binary = 0, True
    for i, value in enumerate(values):
        if value is None or not isfinite(value):
            missing += 1
            continue
        root = i if roots is None else roots[i]
        counts[root] = counts.get(root, 0) + 1
        totals[root] = totals.get(root, 0.0) + value
        is_binary = is_binary and value in (0, 1)
        if runs is not None:
            part = by_run.get((root, runs[i]), RootScores(root, runs[i], 0, 0.0))
            by_run[root, part.run] = part._replace(weight=part.weight + 1, total=part.total + value)
    arms = arms_with_runs([list(by_run.values())])
    return RootSums(list(counts.values()), list(totals.values()), missing, is_binary, arms)


def arms_with_runs(arms: Sequence[Arm]) -> Sequence[Arm]:
    """Return the arms if one of them has several runs, else an empty sequence."""
    return arms if any(count_runs(arm) > 1 for arm in arms) else ()


def estimate(
    sums: RootSums, *, level: float = LEVEL, method: str = "analytic", seed: int = 0
) -> Estimate:
    """Return the mean of the sums with its interval, as mean_interval does."""
    if method not in ("analytic", "bootstrap"):
        raise SeqitError(f"{method!r} is not a kind of interval; choose analytic or bootstrap")
    n, roots = int(sum(sums.counts)), len(sums.counts)
    if not n:
        return Estimate(0, sums.missing, 0, runs=0)
    runs = sum(map(count_runs, sums.arms)) or 1
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
        bounds = pigeonhole_bootstrap(sums.arms, level, seed) if sums.arms else None
        low, high = bounds or _bootstrap_bounds(sums, level, seed)
    else:
        low, high = analytic_bounds(
            mean, error, n, roots, level=level, is_binary=sums.is_binary, degrees=degrees
        )
    return Estimate(n, sums.missing, roots, mean, error, low, high, runs, degrees)


def analytic_bounds(
    mean: float,
    error: float,
    n: int,
    roots: int,
    *,
    level: float,
    is_binary: bool,
    degrees: float | None = None,
) -> tuple[float, float]:
    """Return the analytic interval of a mean; `degrees` is roots - 1 by default; roots >= 2."""
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


def _bootstrap_bounds(sums: RootSums, level: float, seed: int) -> tuple[float, float]:
    np = require_numpy("a bootstrap interval")
    table = np.array([sums.totals, sums.counts])
    roots = table.shape[1]
    rng = np.random.default_rng(seed)
    means: list[Any] = []
    block = max(1, _BLOCK_VALUES // roots)
    for start in range(0, RESAMPLES, block):
        sampled = rng.integers(roots, size=(min(block, RESAMPLES - start), roots))
        total, count = table[:, sampled].sum(axis=2)
        means.append(total / count)
    edges = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(means), edges)
    return float(low), float(high)
