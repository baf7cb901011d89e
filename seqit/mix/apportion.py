"""Numbers that fit several wishes at once: shares, what there is, and shares of a second kind."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import TypeVar

Number = TypeVar("Number", float, Fraction)
Table = list[list[float]]
"""Sources down, strata across."""

_ROUNDS = 2000
_CLOSE = 1e-9  # of the whole: far below one token
_MOST = 1e100  # stands for a factor without bound; two of them and a size still multiply


def apportion(total: int, shares: Sequence[Number]) -> list[int]:
    """Divide `total` into whole numbers that add up to it (largest remainders; Hamilton).

    The shares need not add up to 1. Where all are 0, so are the parts.
    """
    whole = sum(shares)
    if not whole:
        return [0 for _ in shares]
    exact = [total * share / whole for share in shares]
    parts = [floor(number) for number in exact]
    by_rest = sorted(range(len(shares)), key=lambda i: parts[i] - exact[i])
    for i in by_rest[: total - sum(parts)]:
        parts[i] += 1
    return parts


def water_fill(
    total: Number, weights: Sequence[Number], most: Sequence[Number | None]
) -> list[Number]:
    """Divide `total` by weight, none above its `most` (None: no bound).

    What a bounded one cannot take goes to the others by their weights. The sum is below the total
    where all are at their bounds.
    """
    parts: list[Number] = [total * 0 for _ in weights]
    unbound = [i for i, weight in enumerate(weights) if weight]
    while unbound:
        whole = sum(weights[i] for i in unbound)
        for i in unbound:
            parts[i] = total * weights[i] / whole
        full = [i for i in unbound if (bound := most[i]) is not None and parts[i] > bound]
        if not full:
            break
        for i in full:
            parts[i] = most[i] or total * 0
            total -= parts[i]
        unbound = [i for i in unbound if i not in full]
    return parts


def rake(
    sizes: Table,
    most: Sequence[Sequence[float | None]],
    sources: Sequence[float | None],
    strata: Sequence[float],
) -> Table:
    """Return the table nearest to `sizes` whose sums are those of `sources` and `strata`.

    Iterative proportional fitting (Deming and Stephan 1940), each cell bounded by `most`: every
    cell is its size times a factor of its source times one of its stratum, or its bound. A source
    of None is free. Where no table has all the sums, those of the sources hold as far as the
    bounds let them; the caller compares.
    """
    table: Table = [[0.0 for _ in strata] for _ in sources]
    down, across = [1.0 for _ in sources], [1.0 for _ in strata]
    close = _CLOSE * sum(strata)
    before = [0.0 for _ in strata]
    for _ in range(_ROUNDS):
        for j, wanted in enumerate(strata):
            column = [sizes[i][j] * down[i] for i in range(len(sources))]
            across[j] = _factor(wanted, column, [row[j] for row in most])
        for i, number in enumerate(sources):
            row = [size * factor for size, factor in zip(sizes[i], across, strict=True)]
            down[i] = 1.0 if number is None else _factor(number, row, most[i])
            table[i] = [_bounded(down[i] * x, bound) for x, bound in zip(row, most[i], strict=True)]
        found = sums(table)
        # Where it cannot come near, it comes to rest, while the factors still run away.
        if _are_near(found, strata, close) or _are_near(found, before, close / 10):
            break
        before = found
    return table


def sums(table: Table) -> list[float]:
    """Return the sum of each stratum."""
    return [sum(column) for column in zip(*table, strict=True)]


def _are_near(left: Sequence[float], right: Sequence[float], most: float) -> bool:
    return all(abs(x - y) <= most for x, y in zip(left, right, strict=True))


def _factor(total: float, weights: Sequence[float], most: Sequence[float | None]) -> float:
    """Return by what to multiply the weights, so that they add up to the total within bounds."""
    parts = water_fill(total, weights, most)
    for part, weight, bound in zip(parts, weights, most, strict=True):
        if weight and (bound is None or part < bound):
            return min(part / weight, _MOST)
    return _MOST


def _bounded(number: float, bound: float | None) -> float:
    return number if bound is None else min(number, bound)
