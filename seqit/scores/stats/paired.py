"""Paired comparison of two models on the same items: the mean difference, its interval and p."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import require_numpy
from seqit.scores.stats.interval import LEVEL, Estimate, RootSums, estimate
from seqit.scores.stats.quantiles import binomial_two_sided, t_tail

PERMUTATIONS = 10_000
TESTS = ("auto", "mcnemar", "permutation", "t")
_MAX_EXACT_ROOTS = 13  # up to which all 2^roots swaps are tried
_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class PairedDifferences:
    """Differences of pairs, summed by root.

    `alone`: items that only one model was asked. `gained`, `lost`: items with a difference of 1
    and of -1. `is_binary`: whether all scores are 0 or 1.
    """

    sums: RootSums
    alone: int
    gained: int
    lost: int
    is_binary: bool


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """How much the other model differs from the first on the items that both have a score on.

    `difference` counts pairs; its `missing` are items without a number of one or both models, and
    `alone` items that only one model was asked. `p` tests that the two are exchangeable.
    """

    difference: Estimate
    alone: int
    p: float | None
    test: str


def paired_difference(
    differences: PairedDifferences,
    *,
    level: float = LEVEL,
    method: str = "analytic",
    test: str = "auto",
    seed: int = 0,
) -> PairedComparison:
    """Return the mean difference with its interval and p.

    Tests: `mcnemar`, exact, if all scores are 0 or 1 and every root has one pair; `t`, the
    cluster-robust t-test; `permutation`, which swaps the two models root by root, exactly if there
    are few roots. auto chooses mcnemar if it applies, else t. Several runs of a model are averaged
    by item and enter the variance (seqit.scores.stats.runs); only t covers them. Raises SeqitError
    for another test, and for one that does not apply.
    """
    if test not in TESTS:
        raise SeqitError(f"{test!r} is not a test; choose one of {', '.join(TESTS)}")
    sums = differences.sums
    # A difference is not a proportion, even if none happens to be -1.
    mean = estimate(replace(sums, is_binary=False), level=level, method=method, seed=seed)
    if sums.arms and test in ("mcnemar", "permutation"):
        raise SeqitError(f"{test} assumes one run per model, and there are several; use t")
    is_simple = differences.is_binary and mean.n == mean.roots and not sums.arms
    if test == "auto":
        test = "mcnemar" if is_simple else "t"
    p = None
    if mean.n and test == "mcnemar":
        if not is_simple:
            raise SeqitError("McNemar's test needs scores of 0 or 1, one pair per root; use t")
        p = mcnemar(differences.gained, differences.lost)
    elif mean.n:
        p = t_test(mean) if test == "t" else permutation_test(sums.totals, seed)
    return PairedComparison(mean, differences.alone, p, test)


def mcnemar(gained: int, lost: int) -> float:
    """Return McNemar's exact p: items that only one of the two got right, against a fair coin."""
    return binomial_two_sided(gained, gained + lost) if gained + lost else 1.0


def t_test(difference: Estimate) -> float | None:
    """Return the p of a mean of zero; None without a standard error."""
    if difference.mean is None or difference.error is None:
        return None
    if not difference.error:
        return 0.0 if difference.mean else 1.0
    return t_tail(difference.mean / difference.error, difference.degrees or difference.roots - 1)


def permutation_test(
    totals: Sequence[float], seed: int = 0, permutations: int = PERMUTATIONS
) -> float:
    """Return the p of a sum of differences if the sign of each root's total is random.

    Exact for up to 13 nonzero totals; else (hits + 1) / (permutations + 1), which is never 0.
    """
    np: Any = require_numpy("a permutation test")
    nonzero = np.array([total for total in totals if total], float)
    if not len(nonzero):
        return 1.0
    # Sums that differ only by rounding are as extreme.
    observed = abs(float(nonzero.sum())) - 1e-12 * float(np.abs(nonzero).sum())
    if len(nonzero) <= _MAX_EXACT_ROOTS:
        swaps = np.arange(1 << len(nonzero))[:, None] >> np.arange(len(nonzero)) & 1
        return float(np.mean(np.abs((1 - 2 * swaps) @ nonzero) >= observed))
    rng = np.random.default_rng(seed)
    hits, block = 0, max(1, _BLOCK_VALUES // len(nonzero))
    for start in range(0, permutations, block):
        size = (min(block, permutations - start), len(nonzero))
        signs = 1 - 2 * rng.integers(2, size=size, dtype=np.int8).astype(float)
        hits += int(np.count_nonzero(np.abs(signs @ nonzero) >= observed))
    return (hits + 1) / (permutations + 1)
