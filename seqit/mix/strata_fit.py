"""The numbers of a mixture that is divided twice: by source and by stratum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqit.errors import SeqitError
from seqit.mix.apportion import apportion, rake, sums, water_fill
from seqit.mix.spec import AmountUnit, Available, MixtureSpec, Size, Target

_CLOSE = 1e-3  # a tenth of a point


@dataclass(frozen=True, slots=True)
class StrataTable:
    """Every stratum of every source: what it holds and the most that it may give."""

    names: list[str]
    sizes: list[list[float]]
    most: list[list[float | None]]
    source_most: list[int | None]

    @classmethod
    def of(
        cls, available: Sequence[Available], wish: MixtureSpec, unit: AmountUnit
    ) -> "StrataTable":
        found = {name for source in available for name in source.strata}
        names = wish.strata.names(found) if wish.strata else [""]
        sizes, most, source_most = [], [], []
        for i, source in enumerate(available):
            cap = wish.cap_of(i)
            sizes.append([float(source.strata.get(name, Size()).of(unit)) for name in names])
            most.append([source.bound(cap, unit, name) for name in names])
            source_most.append(source.bound(cap, unit))
        return cls(names, sizes, [[*row] for row in most], source_most)


def fit_sources(
    cells: StrataTable, sources: Sequence[Target], strata: Mapping[str, Target], wish: MixtureSpec
) -> list[list[int]]:
    """Return what each cell gives where sources and strata both have numbers.

    Under caps the sources' numbers go first. Raises SeqitError where the two exclude each other.
    """
    wanted = [float(target.asked) for target in strata.values()]
    _check(cells, [float(source.asked) for source in sources], wanted, wish)
    numbers = [source.number for source in sources]
    scale = sum(numbers) / (sum(wanted) or 1)  # caps may have left less
    table = rake(cells.sizes, cells.most, [*map(float, numbers)], [x * scale for x in wanted])
    if wish.shortfall == "leave":
        factors = [min(1.0, x / s) if s else 0.0 for x, s in zip(wanted, sums(table), strict=True)]
        table = [[x * factor for x, factor in zip(row, factors, strict=True)] for row in table]
        numbers = [min(n, round(sum(row))) for n, row in zip(numbers, table, strict=True)]
    return [
        _bounded(apportion(number, row), most)
        for number, row, most in zip(numbers, table, cells.most, strict=True)
    ]


def _check(
    cells: StrataTable, sources: list[float | None], strata: list[float], wish: MixtureSpec
) -> None:
    """Raise SeqitError where no mixture has both, caps or no caps."""
    unbounded = [[None for _ in row] for row in cells.sizes]
    found = sums(rake(cells.sizes, unbounded, sources, strata))
    off = [abs(x - y) for x, y in zip(found, strata, strict=True)]
    worst = off.index(max(off))
    whole = sum(strata)
    if off[worst] > _CLOSE * whole:
        by = wish.strata.by if wish.strata else ""
        raise SeqitError(
            f"The shares of the sources and those of {by} cannot both be had: "
            f"{by} {cells.names[worst]!r} would come to {found[worst] / whole:.1%} instead of "
            f"{strata[worst] / whole:.1%}. Change one of them, or leave the amounts of the "
            "sources out."
        )


def fit_free(
    cells: StrataTable, strata: Mapping[str, Target], wish: MixtureSpec
) -> list[list[int]]:
    """Return what each cell gives where the strata alone have numbers: sources give by size."""
    asked = [target.asked for target in strata.values()]
    free: list[float | None] = [None for _ in cells.sizes]
    numbers = _within_strata(cells, asked, wish)
    while True:
        table = rake(cells.sizes, cells.most, free, [float(n) for n in numbers])
        over = [
            i
            for i, (row, bound) in enumerate(zip(table, cells.source_most, strict=True))
            if bound is not None and free[i] is None and sum(row) > bound + 0.5
        ]
        if not over:
            break
        for i in over:
            free[i] = float(cells.source_most[i] or 0)
    numbers = [min(n, round(x)) for n, x in zip(numbers, sums(table), strict=True)]
    columns = [
        _bounded(apportion(n, [row[j] for row in table]), [row[j] for row in cells.most])
        for j, n in enumerate(numbers)
    ]
    return [[*row] for row in zip(*columns, strict=True)]


def _within_strata(cells: StrataTable, asked: Sequence[int], wish: MixtureSpec) -> list[int]:
    """Return the strata's numbers, cut to what all sources may give of each."""
    most: list[float | None] = []
    for j in range(len(cells.names)):
        bounds = [most[j] for size, most in zip(cells.sizes, cells.most, strict=True) if size[j]]
        known = [bound for bound in bounds if bound is not None]
        most.append(sum(known) if len(known) == len(bounds) else None)
    cut = [n if bound is None else min(n, int(bound)) for n, bound in zip(asked, most, strict=True)]
    if sum(cut) == sum(asked) or wish.shortfall == "leave":
        return cut
    parts = water_fill(float(sum(asked)), [float(n) for n in asked], most)
    return apportion(round(sum(parts)), parts)


def _bounded(numbers: Sequence[int], most: Sequence[float | None]) -> list[int]:
    pairs = zip(numbers, most, strict=True)
    return [n if bound is None else min(n, int(bound)) for n, bound in pairs]
