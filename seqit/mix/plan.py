"""The plan of a mixture: how much each source and each stratum of a source contributes."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

from seqit.errors import SeqitError
from seqit.mix.apportion import apportion, water_fill
from seqit.mix.spec import AmountUnit, Available, MixtureSpec, Target
from seqit.mix.strata import OTHERS, Strata
from seqit.mix.strata_fit import StrataTable, fit_sources_and_strata, fit_strata


class MixturePlan(NamedTuple):
    """The targets of sources and strata, and the number of each stratum of each source."""

    sources: list[Target]
    strata: dict[str, Target]
    cells: list[dict[str, int]]


def make_plan(available: Sequence[Available], spec: MixtureSpec) -> MixturePlan:
    """Return what each source and stratum is to contribute.

    Weights divide the total; without a total they yield the largest mixture in rows without
    repeated rows. Amounts in rows or tokens need no total. No amount means all of the source, or
    with a total a weight equal to its size, to the power of 1/temperature. Raises UsageError for
    contradictions, and SeqitError if an empty source or stratum is to contribute.
    """
    spec.check()
    if spec.are_sources_free and spec.strata:
        return _plan_by_strata(available, spec, spec.strata)
    targets = _plan_shares(available, spec) if spec.is_divided else _plan_counts(available, spec)
    for source, target, amount in zip(available, targets, spec.amounts, strict=True):
        # Without a total, an empty source would silently make the whole mixture empty.
        is_wanted = amount is not None and amount.number > 0
        if (target.requested or is_wanted) and not source.size.in_unit(target.unit):
            share = f"{target.requested:,} {target.unit}" if target.requested else "a share"
            raise SeqitError(
                f"{source.name} has no {'records' if not source.size.rows else 'tokens'}"
                f"{' except those held out' if source.held_out.rows else ''}, but "
                f"{share} of the mixture is requested from it. "
                "Leave it out, or give it the weight 0.0."
            )
    if not spec.strata:
        return MixturePlan(targets, {}, [{"": target.planned} for target in targets])
    unit = targets[0].unit
    cells = StrataTable.build(available, spec, unit)
    strata = _strata_targets(cells, spec.strata, sum(target.requested for target in targets), unit)
    numbers = fit_sources_and_strata(cells, targets, strata, spec)
    return _build_plan(targets, strata, cells, numbers)


def _plan_shares(available: Sequence[Available], spec: MixtureSpec) -> list[Target]:
    unit = spec.unit_of(0)
    weights = _weights(available, spec, unit)
    whole = sum(weights)
    if not whole:
        raise SeqitError("No source has a record, so there is nothing to mix.")
    shares = [weight / whole for weight in weights]
    bounds = [source.bound(spec.cap_of(i), unit) for i, source in enumerate(available)]
    if spec.total:
        total = floor(spec.total.number)
    else:  # the source that is exhausted first limits the mixture
        sizes = [source.size.in_unit(unit) for source in available]
        limits = [s if b is None else min(s, b) for s, b in zip(sizes, bounds, strict=True)]
        total = min(floor(m / share) for m, share in zip(limits, shares, strict=True) if share)
    requested = apportion(total, shares)
    numbers = _apply_bounds(requested, bounds, shares, spec)
    return [Target(n, m, unit, q) for n, m, q in zip(requested, numbers, shares, strict=True)]


def _weights(available: Sequence[Available], spec: MixtureSpec, unit: AmountUnit) -> list[Fraction]:
    sizes = [source.size.in_unit(unit) for source in available]
    if spec.temperature is None:
        return [
            amount.number if amount else Fraction(size)
            for amount, size in zip(spec.amounts, sizes, strict=True)
        ]
    # Twelve digits, since the last ones of a power differ between machines.
    powers = [Fraction(f"{size ** (1 / spec.temperature) if size else 0:.12g}") for size in sizes]
    free = sum(p for p, amount in zip(powers, spec.amounts, strict=True) if not amount)
    rest = 1 - sum(amount.number for amount in spec.amounts if amount)
    return [
        amount.number if amount else rest * power / free if free else Fraction(0)
        for amount, power in zip(spec.amounts, powers, strict=True)
    ]


def _apply_bounds(
    requested: Sequence[int],
    bounds: Sequence[int | None],
    shares: Sequence[Fraction],
    spec: MixtureSpec,
) -> list[int]:
    """Return the numbers within their bounds; unless `shortfall` is leave, others take the rest."""
    pairs = zip(requested, bounds, strict=True)
    capped = [n if bound is None else min(n, bound) for n, bound in pairs]
    if sum(capped) == sum(requested) or spec.shortfall == "leave":
        return capped
    fractions = [None if bound is None else Fraction(bound) for bound in bounds]
    parts = water_fill(Fraction(sum(requested)), shares, fractions)
    numbers = apportion(floor(sum(parts)), parts)
    return [n if bound is None else min(n, bound) for n, bound in zip(numbers, bounds, strict=True)]


def _plan_counts(available: Sequence[Available], spec: MixtureSpec) -> list[Target]:
    by_tokens = all(spec.unit_of(i) == "tokens" for i in range(len(available)))
    requested: list[int] = []
    # Rows and tokens do not add up: if both are requested, shares are those of the expected rows.
    sizes: list[Fraction] = []
    for i, (source, amount) in enumerate(zip(available, spec.amounts, strict=True)):
        number = floor(amount.number) if amount else source.size.rows
        requested.append(number)
        is_comparable = spec.unit_of(i) == "rows" or by_tokens
        size = source.size
        sizes.append(
            Fraction(number) if is_comparable else Fraction(number * size.rows, size.tokens or 1)
        )
    whole = sum(sizes) or Fraction(1)
    targets = []
    for i, (source, number, part) in enumerate(zip(available, requested, sizes, strict=True)):
        bound = source.bound(spec.cap_of(i), spec.unit_of(i))
        capped = number if bound is None else min(number, bound)
        targets.append(Target(number, capped, spec.unit_of(i), part / whole))
    return targets


def _plan_by_strata(
    available: Sequence[Available], spec: MixtureSpec, strata: Strata
) -> MixturePlan:
    """Plan a mixture if only the strata have shares: each source contributes by its size."""
    unit = spec.unit_of(0)
    cells = StrataTable.build(available, spec, unit)
    if spec.total:
        total = floor(spec.total.number)
    else:  # the stratum that is exhausted first limits the mixture
        weights = [strata.weight(name) for name in cells.names]
        whole = sum(weights)
        sizes = [int(sum(row[j] for row in cells.sizes)) for j in range(len(cells.names))]
        pairs = zip(sizes, weights, strict=True)
        totals = [floor(size * whole / weight) for size, weight in pairs if weight]
        total = min(totals, default=0)
    targets = _strata_targets(cells, strata, total, unit)
    numbers = fit_strata(cells, targets, spec)
    by_source = [sum(row) for row in numbers]
    sources = [Target(n, n, unit, Fraction(n, sum(by_source) or 1)) for n in by_source]
    return _build_plan(sources, targets, cells, numbers)


def _strata_targets(
    cells: StrataTable, strata: Strata, total: int, unit: AmountUnit
) -> dict[str, Target]:
    """Return the targets of the strata; raises SeqitError for a stratum without records."""
    weights = [strata.weight(name) for name in cells.names]
    whole = sum(weights)
    if not whole:
        raise SeqitError("No source has a record, so there is nothing to mix.")
    requested = apportion(total, weights)
    for j, name in enumerate(cells.names):
        if weights[j] and not any(row[j] for row in cells.sizes):
            present = [n for i, n in enumerate(cells.names) if any(row[i] for row in cells.sizes)]
            found = ", ".join("others" if value == OTHERS else value for value in present)
            raise SeqitError(
                f"No record has {strata.by} {name!r}, but {float(weights[j] / whole):.1%} of the "
                f"mixture is requested from such records. Values found: {found or 'none'}."
            )
    return {
        name: Target(number, number, unit, weight / whole)
        for name, number, weight in zip(cells.names, requested, weights, strict=True)
    }


def _build_plan(
    sources: list[Target], strata: dict[str, Target], cells: StrataTable, numbers: list[list[int]]
) -> MixturePlan:
    by_stratum = [sum(column) for column in zip(*numbers, strict=True)]
    reached = {}
    for (name, target), number in zip(strata.items(), by_stratum, strict=True):
        # Each source is rounded separately.
        is_met = abs(number - target.requested) <= len(sources)
        planned = target.requested if is_met else number
        reached[name] = Target(target.requested, planned, target.unit, target.share)
    by_name = [dict(zip(cells.names, row, strict=True)) for row in numbers]
    return MixturePlan(sources, reached, by_name)
