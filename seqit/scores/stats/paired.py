"""Two models on the same items: the difference, its interval, and whether chance explains it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import numpy_for
from seqit.scores.stats.interval import LEVEL, Estimate, Sums, estimate, sums_by_root
from seqit.scores.stats.quantiles import binomial_two_sided, t_tail

PERMUTATIONS = 10_000
TESTS = ("auto", "mcnemar", "permutation", "t")
_EXACT = 13  # roots up to which all 2^roots swaps are tried
_CELLS = 1 << 22

Scores = Mapping[Hashable, float | None]
"""Score by item (or item and sample); None where it could not be measured."""


@dataclass(frozen=True, slots=True)
class PairedDifferences:
    """Differences of pairs, summed by root; how many items only one of the two got right."""

    sums: Sums
    alone: int
    gained: int
    lost: int
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Paired:
    """How much the other model differs from the first on the items that both have a score on.

    `difference` counts pairs; its `missing` are items that one or both have no number for, and
    `alone` items that one of the two was never asked. `p` tests that the two are exchangeable.
    """

    difference: Estimate
    alone: int
    p: float | None
    test: str


def compare_pairs(
    first: Scores,
    other: Scores,
    roots: Mapping[Hashable, Hashable] | None = None,
    *,
    level: float = LEVEL,
    method: str = "analytic",
    test: str = "auto",
    seed: int = 0,
) -> Paired:
    """Return the mean of other - first over common items, clustered by their roots."""
    common = [item for item in first if item in other]
    pairs = [(first[item], other[item]) for item in common]
    gaps = [None if one is None or two is None else two - one for one, two in pairs]
    found = PairedDifferences(
        sums_by_root(gaps, [roots[item] if roots else item for item in common]),
        len(first) + len(other) - 2 * len(common),
        gaps.count(1),
        gaps.count(-1),
        all(value in (0, 1, None) for pair in pairs for value in pair),
    )
    return paired_difference(found, level=level, method=method, test=test, seed=seed)


def paired_difference(
    gaps: PairedDifferences,
    *,
    level: float = LEVEL,
    method: str = "analytic",
    test: str = "auto",
    seed: int = 0,
) -> Paired:
    """Return the mean difference with its interval and p.

    Tests: `mcnemar`, exact, where all scores are 0 or 1 and every root has one pair; `t`, the
    cluster-robust t-test; `permutation`, which swaps the two models root by root, all ways where
    there are few. auto takes mcnemar where it can, else t. Several runs of a model are averaged
    item by item and enter the variance (seqit.scores.stats.runs); of the tests only t covers them.
    Raises SeqitError for another test, and for one that does not apply.
    """
    if test not in TESTS:
        raise SeqitError(f"{test!r} is no test; take one of {', '.join(TESTS)}")
    sums = gaps.sums
    # A difference is no proportion, also where none happens to be -1.
    found = estimate(replace(sums, is_binary=False), level=level, method=method, seed=seed)
    if sums.arms and test in ("mcnemar", "permutation"):
        raise SeqitError(f"{test} takes a model for one run, and there are several; take t")
    is_simple = gaps.is_binary and found.n == found.roots and not sums.arms
    if test == "auto":
        test = "mcnemar" if is_simple else "t"
    p = None
    if found.n and test == "mcnemar":
        if not is_simple:
            raise SeqitError("McNemar's test needs scores of 0 or 1, one pair a root; take t")
        p = mcnemar(gaps.gained, gaps.lost)
    elif found.n:
        p = t_test(found) if test == "t" else permutation(sums.totals, seed)
    return Paired(found, gaps.alone, p, test)


def mcnemar(gained: int, lost: int) -> float:
    """Return McNemar's exact p: items that only one of the two got right, against a fair coin."""
    return binomial_two_sided(gained, gained + lost) if gained + lost else 1.0


def t_test(found: Estimate) -> float | None:
    """Return the p of a mean of zero; None without a standard error."""
    if found.mean is None or found.error is None:
        return None
    if not found.error:
        return 0.0 if found.mean else 1.0
    return t_tail(found.mean / found.error, found.degrees or found.roots - 1)


def permutation(totals: Sequence[float], seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """Return the p of a sum of differences when each root's sign is turned by chance.

    Exact where the roots are few; else (hits + 1) / (permutations + 1), which is never 0.
    """
    np: Any = numpy_for("a permutation test")
    moved = np.array([total for total in totals if total], float)
    if not len(moved):
        return 1.0
    # Sums that are equal but for rounding are as extreme.
    seen = abs(float(moved.sum())) - 1e-12 * float(np.abs(moved).sum())
    if len(moved) <= _EXACT:
        ways = np.arange(1 << len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((1 - 2 * ways) @ moved) >= seen))
    draws = np.random.default_rng(seed)
    hits, block = 0, max(1, _CELLS // len(moved))
    for start in range(0, permutations, block):
        size = (min(block, permutations - start), len(moved))
        signs = 1 - 2 * draws.integers(2, size=size, dtype=np.int8).astype(float)
        hits += int(np.count_nonzero(np.abs(signs @ moved) >= seen))
    return (hits + 1) / (permutations + 1)
