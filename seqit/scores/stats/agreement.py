"""Chance-corrected agreement of judges: Cohen's kappa and Krippendorff's alpha."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Literal

from seqit.errors import SeqitError

Ratings = Sequence[float | None]
"""The ratings of each item by one judge, or of one item by each judge; None if not rated."""

Weights = Literal["none", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]


def cohen_kappa(first: Ratings, other: Ratings, weights: Weights = "none") -> float | None:
    """Return Cohen's kappa of two judges over the items that both rated.

    Weighted by the distance of the ratings' ranks among those used, or its square. None if no item
    has both ratings, or if both judges gave one rating to all, where kappa is not defined. Raises
    SeqitError if the judges rated different numbers of items.
    """
    if len(first) != len(other):
        raise SeqitError(f"the judges rated {len(first)} and {len(other)} items; pair them first")
    pairs = [(a, b) for a, b in zip(first, other, strict=True) if a is not None and b is not None]
    rank = {value: place for place, value in enumerate(sorted({v for p in pairs for v in p}))}
    power = {"none": 0, "linear": 1, "quadratic": 2}[weights]

    def cost(a: float, b: float) -> float:
        return float(a != b) if not power else float(abs(rank[a] - rank[b]) ** power)

    ones, twos = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = sum(m * n * cost(a, b) for a, m in ones.items() for b, n in twos.items())
    if not expected:
        return None
    return 1 - len(pairs) * sum(cost(a, b) for a, b in pairs) / expected


def krippendorff_alpha(units: Iterable[Ratings], level: Level = "ordinal") -> float | None:
    """Return Krippendorff's alpha over units: all ratings of an item, any number of them.

    Items with fewer than two ratings are ignored. None if no item is left, or if all ratings are
    the same. After Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    """
    coincidences: dict[tuple[float, float], float] = {}
    for unit in units:
        counts = Counter(value for value in unit if value is not None)
        others = counts.total() - 1
        if others < 1:
            continue
        for a, b in product(counts, counts):
            number = counts[a] * (counts[b] - (a == b))
            coincidences[a, b] = coincidences.get((a, b), 0.0) + number / others
    totals: dict[float, float] = {}
    for (a, _), weight in sorted(coincidences.items()):
        totals[a] = totals.get(a, 0.0) + weight
    distance = _distance(level, totals)
    n = sum(totals.values())
    observed = sum(weight * distance(a, b) for (a, b), weight in coincidences.items())
    expected = sum(m * k * distance(a, b) for a, m in totals.items() for b, k in totals.items())
    return 1 - (n - 1) * observed / expected if expected else None


def _distance(level: Level, totals: dict[float, float]) -> Callable[[float, float], float]:
    """Return the squared difference between two ratings; totals are sorted by rating."""
    if level == "nominal":
        return lambda a, b: float(a != b)
    if level == "interval":
        return lambda a, b: (a - b) ** 2
    below, ranks = 0.0, {}
    for value, count in totals.items():
        ranks[value] = below + count / 2  # the mean of its ranks
        below += count
    return lambda a, b: (ranks[a] - ranks[b]) ** 2
