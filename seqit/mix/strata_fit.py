"""The numbers of a mixture that is divided both by source and by stratum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqit.errors import SeqitError
from seqit.mix.apportion import apportion, column_sums, rake, water_fill
from seqit.mix.spec import AmountUnit, Available, MixtureSpec, Size, Target

_TOLERANCE = 1e-3  # a tenth of a percentage point


@dataclass(frozen=True, slots=True)
class StrataTable:
    """Size and upper bound of every stratum of every source: sources × strata."""

    names: list[str]
    sizes: list[list[float]]
    bounds: list[list[float | None]]
    source_bounds: list[int | None]

    @classmethod
    def build(
        cls, available: Sequence[Available], spec: MixtureSpec, unit: AmountUnit
    ) -> "StrataTable":
        found = {name for source in available for name in source.strata}
        names = spec.strata.names(found) if spec.strata else [""]
        sizes, bounds, source_bounds = [], [], []
        for i, source in enumerate(available):
            cap = spec.cap_of(i)
            sizes.append([float(source.strata.get(name, Size()).in_unit(unit)) for name in names])
            bounds.append([source.bound(cap, unit, name) for name in names])
            source_bounds.append(source.bound(cap, unit))
        return cls(names, sizes, [[*row] for row in bounds], source_bounds)


def fit_sources_and_strata(
    cells: StrataTable, sources: Sequence[Target], strata: Mapping[str, Target], spec: MixtureSpec
) -> list[list[int]]:
    """Return the number of each cell if both sources and strata have targets.

    Under caps the targets of the sources take precedence. Raises SeqitError if the targets exclude
    each other.
    """
    wanted = [float(target.requested) for target in strata.values()]
    _check(cells, [float(source.requested) for source in sources], wanted, spec)
    numbers = [source.planned for source in sources]
    scale = sum(numbers) / (sum(wanted) or 1)  # below 1 if caps apply
    table = rake(cells.sizes, cells.bounds, [*map(float, numbers)], [x * scale for x in wanted])
    if spec.shortfall == "leave":
        reached = column_sums(table)
        factors = [min(1.0, x / s) if s else 0.0 for x, s in zip(wanted, reached, strict=True)]
        table = [[x * factor for x, factor in zip(row, factors, strict=True)] for row in table]
        numbers = [min(n, round(sum(row))) for n, row in zip(numbers, table, strict=True)]
    return [
        _bounded(apportion(number, row), bounds)
        for number, row, bounds in zip(numbers, table, cells.bounds, strict=True)
    ]


def _check(
    cells: StrataTable, sources: list[float | None], strata: list[float], spec: MixtureSpec
) -> None:
    """Raise SeqitError if no mixture has both targets, even without caps."""
    unbounded = [[None for _ in row] for row in cells.sizes]
    found = column_sums(rake(cells.sizes, unbounded, sources, strata))
    errors = [abs(x - y) for x, y in zip(found, strata, strict=True)]
    worst = errors.index(max(errors))
    whole = sum(strata)
    if errors[worst] > _TOLERANCE * whole:
        by = spec.strata.by if spec.strata else ""
        raise SeqitError(
            f"The shares of the sources and those of {by} exclude each other: "
            f"{by} {cells.names[worst]!r} would be {found[worst] / whole:.1%} instead of "
            f"{strata[worst] / whole:.1%}. Change one of them, or leave out the amounts of the "
            "sources."
        )


def fit_strata(
    cells: StrataTable, strata: Mapping[str, Target], spec: MixtureSpec
) -> list[list[int]]:
    """Return the number of each cell if only strata have targets: sources contribute by size."""
    requested = [target.requested for target in strata.values()]
    free: list[float | None] = [None for _ in cells.sizes]
    numbers = _within_strata(cells, requested, spec)
    while True:
        table = rake(cells.sizes, cells.bounds, free, [float(n) for n in numbers])
        over = [
            i
            for i, (row, bound) in enumerate(zip(table, cells.source_bounds, strict=True))
            if bound is not None and free[i] is None and sum(row) > bound + 0.5
        ]
        if not over:
            break
        for i in over:
            free[i] = float(cells.source_bounds[i] or 0)
    numbers = [min(n, round(x)) for n, x in zip(numbers, column_sums(table), strict=True)]
    columns = [
        _bounded(apportion(n, [row[j] for row in table]), [row[j] for row in cells.bounds])
        for j, n in enumerate(numbers)
    ]
    return [[*row] for row in zip(*columns, strict=True)]


def _within_strata(cells: StrataTable, requested: Sequence[int], spec: MixtureSpec) -> list[int]:
    """Return the numbers of the strata, bounded by what all sources may contribute to each."""
    bounds: list[float | None] = []
    for j in range(len(cells.names)):
        rows = zip(cells.sizes, cells.bounds, strict=True)
        of_sources = [row_bounds[j] for size, row_bounds in rows if size[j]]
        known = [bound for bound in of_sources if bound is not None]
        bounds.append(sum(known) if len(known) == len(of_sources) else None)
    capped = _bounded(requested, bounds)
    if sum(capped) == sum(requested) or spec.shortfall == "leave":
        return capped
    parts = water_fill(float(sum(requested)), [float(n) for n in requested], bounds)
    return apportion(round(sum(parts)), parts)


def _bounded(numbers: Sequence[int], bounds: Sequence[float | None]) -> list[int]:
    pairs = zip(numbers, bounds, strict=True)
    return [n if bound is None else min(n, int(bound)) for n, bound in pairs]
