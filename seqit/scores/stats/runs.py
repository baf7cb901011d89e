"""Variance and bootstrap for scores of several training runs, where roots and runs are crossed.

Both roots and runs are treated as random samples.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import fsum
from typing import Any, NamedTuple

from seqit.scores.stats.arrays import require_numpy

RESAMPLES = 2000
_BLOCK_VALUES = 1 << 22  # of a block of resamples: 32 MB


class RootScores(NamedTuple):
    """The scores of one root in one run: their number or weight, and their sum."""

    root: Hashable
    run: Hashable
    weight: float
    total: float


Arm = Sequence[RootScores]
"""One model's scores by root and run."""


def count_runs(arm: Arm) -> int:
    """Return the number of runs that have scores in the arm."""
    return len({part.run for part in arm})


def crossed_variance(by_root: float, roots: int, arms: Sequence[Arm]) -> tuple[float, float]:
    """Return the variance of a mean over roots and runs, and its degrees of freedom.

    `by_root` is the variance clustered by root alone. One arm: the two-way clustered variance
    V_root + V_run - V_both of Cameron, Gelbach & Miller (2011), each part with CR1's correction.
    Two arms, for the difference of their means: roots are common, runs differ between arms, so
    V_root of the differences + the sum over arms of V_run - V_noise, where V_noise is the variance
    of a run's mean due to its roots alone: the mean square of the interaction, as in the analysis
    of variance of a two-way layout. (Subtracting V_both would be too much: what roots have in
    common cancels in the difference.) An arm of one run has no V_run. The variance is never below
    V_root, nor below V_run. Degrees of freedom are Satterthwaite's (1946) from these mean squares,
    never below the smallest of theirs. Requires roots >= 2.
    """
    several = [arm for arm in arms if count_runs(arm) > 1]
    by_run, subtracted, squares, min_degrees = 0.0, 0.0, by_root**2 / (roots - 1), roots - 1
    for arm in several:
        residuals = _weighted_residuals(arm)
        degrees = count_runs(arm) - 1
        run_variance = _squared_sums(residuals, "run") * (degrees + 1) / degrees
        noise, noise_degrees = (
            _variance_by_both(residuals) if len(arms) == 1 else _interaction_variance(residuals)
        )
        by_run += run_variance
        subtracted += noise
        squares += run_variance**2 / degrees + noise**2 / noise_degrees
        min_degrees = min(min_degrees, degrees)
    variance = max(by_root + by_run - subtracted, by_root, by_run)
    if not variance or not several:
        return variance, roots - 1
    return variance, max(variance**2 / squares, min_degrees)


def _weighted_residuals(arm: Arm) -> list[RootScores]:
    """Return each part's share of the weight, and its contribution to the mean's deviation."""
    weight = fsum(part.weight for part in arm)
    mean = fsum(part.total for part in arm) / weight
    return [
        RootScores(root, run, count / weight, (total - mean * count) / weight)
        for root, run, count, total in arm
    ]


def _sums(parts: Sequence[RootScores], by: str, field: str) -> dict[Hashable, float]:
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for part in parts:
        sums[getattr(part, by)] += getattr(part, field)
    return sums


def _squared_sums(parts: Sequence[RootScores], by: str) -> float:
    return fsum(total**2 for total in _sums(parts, by, "total").values())


def _variance_by_both(parts: Sequence[RootScores]) -> tuple[float, int]:
    """Return the variance clustered by pairs of root and run, and its degrees of freedom."""
    degrees = len(parts) - 1
    return fsum(part.total**2 for part in parts) * (degrees + 1) / degrees, degrees


def _interaction_variance(parts: Sequence[RootScores]) -> tuple[float, int]:
    """Return the variance left after the effects of roots and runs, and its degrees of freedom."""
    means = {}
    for by in ("root", "run"):
        weights = _sums(parts, by, "weight")
        means[by] = {key: total / weights[key] for key, total in _sums(parts, by, "total").items()}
    squares = fsum(
        (part.total - part.weight * (means["root"][part.root] + means["run"][part.run])) ** 2
        for part in parts
    )
    roots, runs = len(means["root"]), len(means["run"])
    degrees = (roots - 1) * (runs - 1)
    return squares * roots * runs / degrees, degrees


def pigeonhole_bootstrap(arms: Sequence[Arm], level: float, seed: int) -> tuple[float, float]:
    """Return percentiles of the mean, or of the difference of two, over resampled roots and runs.

    The pigeonhole bootstrap (Owen 2007): roots are sampled once for all arms, runs for each arm; a
    score counts as often as its root was sampled times its run.
    """
    np = require_numpy("a bootstrap interval")
    roots = {part.root: None for arm in arms for part in arm}
    order = {root: i for i, root in enumerate(roots)}
    tables = [_table(np, arm, order) for arm in arms]
    rng = np.random.default_rng(seed)
    estimates: list[Any] = []
    block = max(1, _BLOCK_VALUES // (len(order) * max(table.shape[1] for table in tables)))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        sampled = rng.integers(len(order), size=(size, len(order)))
        means = []
        for table in tables:
            runs = table.shape[1]
            times = (rng.integers(runs, size=(size, runs, 1)) == np.arange(runs)).sum(axis=1)
            by_run = np.stack([row[:, sampled].sum(axis=-1).T for row in table])
            total, count = (by_run * times).sum(axis=-1)
            means.append(np.divide(total, count, out=np.full(size, np.nan), where=count > 0))
        estimates.append(means[-1] - means[0] if len(means) > 1 else means[0])
    # A resample without scores, possible if runs have no root in common, has no mean.
    low, high = np.nanquantile(np.concatenate(estimates), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _table(np: Any, arm: Arm, order: dict[Hashable, int]) -> Any:
    """Return totals and counts, shape (2, runs, roots)."""
    runs = {run: i for i, run in enumerate({part.run: None for part in arm})}
    table = np.zeros((2, len(runs), len(order)))
    for root, run, count, total in arm:
        table[:, runs[run], order[root]] += total, count
    return table
