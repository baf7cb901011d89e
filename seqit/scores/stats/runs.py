"""Scores of several training runs: roots and runs are crossed, and both are drawn by chance."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import fsum
from typing import Any, NamedTuple

from seqit.scores.stats.arrays import numpy_for

RESAMPLES = 2000
_CELLS = 1 << 22  # of a block of resamples: 32 MB


class RootScores(NamedTuple):
    """The scores of one root in one run: how many, or their weight, and their sum."""

    root: Hashable
    run: Hashable
    weight: float
    total: float


Arm = Sequence[RootScores]
"""One model's scores by root and run."""


def runs_of(arm: Arm) -> int:
    """Return how many runs have scores in it."""
    return len({part.run for part in arm})


def crossed_variance(by_root: float, roots: int, arms: Sequence[Arm]) -> tuple[float, float]:
    """Return the variance of a mean over roots and runs, and its degrees of freedom.

    `by_root` is the variance clustered by root alone. One arm: the two-way clustered variance
    V_root + V_run - V_both of Cameron, Gelbach & Miller (2011), each part with CR1's correction.
    Two arms, for the difference of their means: roots are common, runs are each arm's own, so
    V_root of the differences + the sum over arms of V_run - V_noise, where V_noise is what a run's
    mean varies by because of its roots alone: the mean square of the interaction, as in the
    analysis of variance of a two-way layout. (V_both would be too much to subtract: what roots
    have in common is no part of the difference.) An arm of one run has no V_run. The variance is
    never below V_root, nor below V_run. Degrees of freedom are Satterthwaite's (1946) from these
    mean squares, never below the fewest that one of them has. Roots >= 2.
    """
    several = [arm for arm in arms if runs_of(arm) > 1]
    by_run, subtracted, squares, fewest = 0.0, 0.0, by_root**2 / (roots - 1), roots - 1
    for arm in several:
        parts = _scaled(arm)
        degrees = runs_of(arm) - 1
        own = _squared_sums(parts, "run") * (degrees + 1) / degrees
        noise, noise_degrees = _both(parts) if len(arms) == 1 else _interaction(parts)
        by_run += own
        subtracted += noise
        squares += own**2 / degrees + noise**2 / noise_degrees
        fewest = min(fewest, degrees)
    variance = max(by_root + by_run - subtracted, by_root, by_run)
    if not variance or not several:
        return variance, roots - 1
    return variance, max(variance**2 / squares, fewest)


def _scaled(arm: Arm) -> list[RootScores]:
    """Return each part's share of the weight, and its share of what the mean is off."""
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


def _both(parts: Sequence[RootScores]) -> tuple[float, int]:
    """Return the variance clustered by root and run together, and its degrees of freedom."""
    degrees = len(parts) - 1
    return fsum(part.total**2 for part in parts) * (degrees + 1) / degrees, degrees


def _interaction(parts: Sequence[RootScores]) -> tuple[float, int]:
    """Return the variance that is neither the roots' nor the runs', and its degrees of freedom."""
    means = {}
    for by in ("root", "run"):
        weights = _sums(parts, by, "weight")
        means[by] = {key: total / weights[key] for key, total in _sums(parts, by, "total").items()}
    left = fsum(
        (each.total - each.weight * (means["root"][each.root] + means["run"][each.run])) ** 2
        for each in parts
    )
    roots, runs = len(means["root"]), len(means["run"])
    degrees = (roots - 1) * (runs - 1)
    return left * roots * runs / degrees, degrees


def pigeonhole(arms: Sequence[Arm], level: float, seed: int) -> tuple[float, float]:
    """Return percentiles of the mean, or of the difference of two, over resampled roots and runs.

    The pigeonhole bootstrap (Owen 2007): roots are drawn for all arms at once, runs for each; a
    score counts as often as its root was drawn times its run.
    """
    np = numpy_for("a bootstrap interval")
    order = {root: place for place, root in enumerate({p.root: None for arm in arms for p in arm})}
    tables = [_table(np, arm, order) for arm in arms]
    draws = np.random.default_rng(seed)
    found: list[Any] = []
    block = max(1, _CELLS // (len(order) * max(table.shape[1] for table in tables)))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        chosen = draws.integers(len(order), size=(size, len(order)))
        means = []
        for table in tables:
            runs = table.shape[1]
            times = (draws.integers(runs, size=(size, runs, 1)) == np.arange(runs)).sum(axis=1)
            by_run = np.stack([row[:, chosen].sum(axis=-1).T for row in table])
            total, count = (by_run * times).sum(axis=-1)
            means.append(np.divide(total, count, out=np.full(size, np.nan), where=count > 0))
        found.append(means[-1] - means[0] if len(means) > 1 else means[0])
    # A resample without one score, as of runs that have no root in common, has no mean.
    low, high = np.nanquantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _table(np: Any, arm: Arm, order: dict[Hashable, int]) -> Any:
    """Return totals and counts, runs by roots."""
    runs = {run: place for place, run in enumerate({part.run: None for part in arm})}
    table = np.zeros((2, len(runs), len(order)))
    for root, run, count, total in arm:
        table[:, runs[run], order[root]] += total, count
    return table
