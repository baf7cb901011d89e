"""How much each source of a mixture is to give, and each stratum of each source."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

from seqit.errors import SeqitError
from seqit.mix.apportion import apportion, water_fill
from seqit.mix.spec import AmountUnit, Available, MixtureSpec, Target
from seqit.mix.strata import OTHERS, Strata
from seqit.mix.strata_fit import StrataTable, fit_free, fit_sources


class MixturePlan(NamedTuple):
    """What each source is to give, what each stratum, and each stratum of each source."""

    sources: list[Target]
    strata: dict[str, Target]
    cells: list[dict[str, int]]


def make_plan(available: Sequence[Available], wish: MixtureSpec) -> MixturePlan:
    """Return what each source and stratum is to give.

    Weights divide the total; without a total they give the largest mixture in rows that repeats
    none. Amounts of rows or tokens stand for themselves and go without a total. No amount means
    all of the source; under a total, a weight equal to its size, to the power of 1/temperature.
    Raises UsageError for a contradiction, and SeqitError where an empty source or stratum is to
    give something.
    """
    wish.check()
    if wish.are_sources_free and wish.strata:
        return _by_strata(available, wish, wish.strata)
    targets = _divide(available, wish) if wish.is_divided else _take(available, wish)
    for source, target, amount in zip(available, targets, wish.amounts, strict=True):
        # Without a total an empty source would make the largest mixture an empty one, unsaid.
        is_wanted = amount is not None and amount.number > 0
        if (target.asked or is_wanted) and not source.size.of(target.unit):
            share = f"{target.asked:,} {target.unit}" if target.asked else "a share"
            raise SeqitError(
                f"{source.name} holds no {'records' if not source.size.rows else 'tokens'}"
                f"{' but those held out' if source.held_out.rows else ''}, and "
                f"{share} of the mixture is to come from it. "
                "Leave it out, or give it the weight 0.0."
            )
    if not wish.strata:
        return MixturePlan(targets, {}, [{"": target.number} for target in targets])
    unit = targets[0].unit
    cells = StrataTable.of(available, wish, unit)
    strata = _strata(cells, wish.strata, sum(target.asked for target in targets), unit)
    numbers = fit_sources(cells, targets, strata, wish)
    return _whole(targets, strata, cells, numbers)


def _divide(available: Sequence[Available], wish: MixtureSpec) -> list[Target]:
    unit = wish.unit_of(0)
    weights = _weights(available, wish, unit)
    whole = sum(weights)
    if not whole:
        raise SeqitError("No source holds a record, so there is nothing to mix.")
    shares = [weight / whole for weight in weights]
    bounds = [source.bound(wish.cap_of(i), unit) for i, source in enumerate(available)]
    if wish.total:
        total = floor(wish.total.number)
    else:  # the source that runs out first ends the mixture
        sizes = [source.size.of(unit) for source in available]
        most = [s if b is None else min(s, b) for s, b in zip(sizes, bounds, strict=True)]
        total = min(floor(m / share) for m, share in zip(most, shares, strict=True) if share)
    asked = apportion(total, shares)
    numbers = _within(asked, bounds, shares, wish)
    return [Target(n, m, unit, q) for n, m, q in zip(asked, numbers, shares, strict=True)]


def _weights(available: Sequence[Available], wish: MixtureSpec, unit: AmountUnit) -> list[Fraction]:
    sizes = [source.size.of(unit) for source in available]
    if wish.temperature is None:
        return [
            amount.number if amount else Fraction(size)
            for amount, size in zip(wish.amounts, sizes, strict=True)
        ]
    # Twelve digits: the last ones of a power differ between machines.
    powers = [Fraction(f"{size ** (1 / wish.temperature) if size else 0:.12g}") for size in sizes]
    free = sum(p for p, amount in zip(powers, wish.amounts, strict=True) if not amount)
    rest = 1 - sum(amount.number for amount in wish.amounts if amount)
    return [
        amount.number if amount else rest * power / free if free else Fraction(0)
        for amount, power in zip(wish.amounts, powers, strict=True)
    ]


def _within(
    asked: Sequence[int],
    bounds: Sequence[int | None],
    shares: Sequence[Fraction],
    wish: MixtureSpec,
) -> list[int]:
    """Return the numbers that keep the bounds; the others give the rest, if the wish says so."""
    cut = [n if bound is None else min(n, bound) for n, bound in zip(asked, bounds, strict=True)]
    if sum(cut) == sum(asked) or wish.shortfall == "leave":
        return cut
    most = [None if bound is None else Fraction(bound) for bound in bounds]
    parts = water_fill(Fraction(sum(asked)), shares, most)
    numbers = apportion(floor(sum(parts)), parts)
    return [n if bound is None else min(n, bound) for n, bound in zip(numbers, bounds, strict=True)]


def _take(available: Sequence[Available], wish: MixtureSpec) -> list[Target]:
    by_tokens = all(wish.unit_of(i) == "tokens" for i in range(len(available)))
    asked: list[int] = []
    # Rows and tokens do not add up: where both are asked for, shares are of the expected rows.
    sizes: list[Fraction] = []
    for i, (source, amount) in enumerate(zip(available, wish.amounts, strict=True)):
        number = floor(amount.number) if amount else source.size.rows
        asked.append(number)
        as_it_is = wish.unit_of(i) == "rows" or by_tokens
        size = source.size
        sizes.append(
            Fraction(number) if as_it_is else Fraction(number * size.rows, size.tokens or 1)
        )
    whole = sum(sizes) or Fraction(1)
    targets = []
    for i, (source, number, part) in enumerate(zip(available, asked, sizes, strict=True)):
        bound = source.bound(wish.cap_of(i), wish.unit_of(i))
        cut = number if bound is None else min(number, bound)
        targets.append(Target(number, cut, wish.unit_of(i), part / whole))
    return targets


def _by_strata(available: Sequence[Available], wish: MixtureSpec, strata: Strata) -> MixturePlan:
    """Plan a mixture of which only the strata have shares: each source gives by its size."""
    unit = wish.unit_of(0)
    cells = StrataTable.of(available, wish, unit)
    if wish.total:
        total = floor(wish.total.number)
    else:  # the stratum that runs out first ends the mixture
        weights = [strata.weight(name) for name in cells.names]
        whole = sum(weights)
        held = [int(sum(row[j] for row in cells.sizes)) for j in range(len(cells.names))]
        pairs = zip(held, weights, strict=True)
        ends = [floor(size * whole / weight) for size, weight in pairs if weight]
        total = min(ends, default=0)
    targets = _strata(cells, strata, total, unit)
    numbers = fit_free(cells, targets, wish)
    given = [sum(row) for row in numbers]
    sources = [Target(n, n, unit, Fraction(n, sum(given) or 1)) for n in given]
    return _whole(sources, targets, cells, numbers)


def _strata(cells: StrataTable, strata: Strata, total: int, unit: AmountUnit) -> dict[str, Target]:
    """Return what each stratum is to give; raises SeqitError for one that no record is of."""
    weights = [strata.weight(name) for name in cells.names]
    whole = sum(weights)
    if not whole:
        raise SeqitError("No source holds a record, so there is nothing to mix.")
    asked = apportion(total, weights)
    for j, name in enumerate(cells.names):
        if weights[j] and not any(row[j] for row in cells.sizes):
            held = [n for i, n in enumerate(cells.names) if any(row[i] for row in cells.sizes)]
            found = ", ".join("others" if value == OTHERS else value for value in held)
            raise SeqitError(
                f"No record has {strata.by} {name!r}, and {float(weights[j] / whole):.1%} of the "
                f"mixture is to come from such records. There are {found or 'none'}."
            )
    return {
        name: Target(number, number, unit, weight / whole)
        for name, number, weight in zip(cells.names, asked, weights, strict=True)
    }


def _whole(
    sources: list[Target], strata: dict[str, Target], cells: StrataTable, numbers: list[list[int]]
) -> MixturePlan:
    given = [sum(column) for column in zip(*numbers, strict=True)]
    reached = {}
    for (name, target), number in zip(strata.items(), given, strict=True):
        # Each source rounds for itself.
        is_met = abs(number - target.asked) <= len(sources)
        planned = target.asked if is_met else number
        reached[name] = Target(target.asked, planned, target.unit, target.share)
    by_name = [dict(zip(cells.names, row, strict=True)) for row in numbers]
    return MixturePlan(sources, reached, by_name)
