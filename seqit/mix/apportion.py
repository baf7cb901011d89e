"""Division of totals by shares, with upper bounds, and of tables with given row and column sums."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import TypeVar

Number = TypeVar("Number", float, Fraction)
Table = list[list[float]]
"""One row per source, one column per stratum."""

_MAX_ROUNDS = 2000
_TOLERANCE = 1e-9  # of the total: far below one token
_MAX_FACTOR = 1e100  # for an unbounded factor; the product of two and a size is still finite


def apportion(total: int, shares: Sequence[Number]) -> list[int]:
    """Divide `total` into whole numbers that add up to it (largest remainders; Hamilton).

    The shares need not add up to 1. If all are 0, so are the parts.
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
    total: Number, weights: Sequence[Number], bounds: Sequence[Number | None]
) -> list[Number]:
    """Divide `total` by weight, with no part above its bound (None: no bound).

    What exceeds a bound is divided among the others by their weights. The sum of the parts is
    below the total if all are at their bounds.
    """
    parts: list[Number] = [total * 0 for _ in weights]
    open_items = [i for i, weight in enumerate(weights) if weight]
    while open_items:
        whole = sum(weights[i] for i in open_items)
        for i in open_items:
            parts[i] = total * weights[i] / whole
        capped = [i for i in open_items if (bound := bounds[i]) is not None and parts[i] > bound]
        if not capped:
            break
        for i in capped:
            parts[i] = bounds[i] or total * 0
            total -= parts[i]
        open_items = [i for i in open_items if i not in capped]
    return parts


def rake(
    sizes: Table,
    bounds: Sequence[Sequence[float | None]],
    sources: Sequence[float | None],
    strata: Sequence[float],
) -> Table:
    """Return the table closest to `sizes` whose sums are those of `sources` and `strata`.

    Iterative proportional fitting (Deming and Stephan 1940), each cell bounded by `bounds`: every
    cell is its size times a factor of its source times one of its stratum, or its bound. A source
    of None is free. If no table has all the sums, those of the sources are met as far as the
    bounds allow; the caller must compare.
    """
    table: Table = [[0.0 for _ in strata] for _ in sources]
    source_factors, stratum_factors = [1.0 for _ in sources], [1.0 for _ in strata]
    tolerance = _TOLERANCE * sum(strata)
    before = [0.0 for _ in strata]
    for _ in range(_MAX_ROUNDS):
        for j, wanted in enumerate(strata):
            column = [sizes[i][j] * source_factors[i] for i in range(len(sources))]
            stratum_factors[j] = _factor(wanted, column, [row[j] for row in bounds])
        for i, number in enumerate(sources):
            row = [size * factor for size, factor in zip(sizes[i], stratum_factors, strict=True)]
            source_factors[i] = 1.0 if number is None else _factor(number, row, bounds[i])
            table[i] = [
                _bounded(source_factors[i] * x, bound)
                for x, bound in zip(row, bounds[i], strict=True)
            ]
        reached = column_sums(table)
        # If the sums cannot be met, the table converges although the factors diverge.
        if _are_close(reached, strata, tolerance) or _are_close(reached, before, tolerance / 10):
            break
        before = reached
    return table


def column_sums(table: Table) -> list[float]:
    """Return the sum of each stratum."""
    return [sum(column) for column in zip(*table, strict=True)]


def _are_close(left: Sequence[float], right: Sequence[float], tolerance: float) -> bool:
    return all(abs(x - y) <= tolerance for x, y in zip(left, right, strict=True))


def _factor(total: float, weights: Sequence[float], bounds: Sequence[float | None]) -> float:
    """Return the factor by which the weights, within their bounds, add up to the total."""
    parts = water_fill(total, weights, bounds)
    for part, weight, bound in zip(parts, weights, bounds, strict=True):
        if weight and (bound is None or part < bound):
            return min(part / weight, _MAX_FACTOR)
    return _MAX_FACTOR


def _bounded(number: float, bound: float | None) -> float:
    return number if bound is None else min(number, bound)
