"""Sources + amounts + seed → one mixture, shuffled, and the plan that says what came of it."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from seqit.mix.measure import RowMeasurer, SourceReader
from seqit.mix.plan import MixturePlan, make_plan
from seqit.mix.pool import Pool
from seqit.mix.report import held_out, report
from seqit.mix.spec import Available, Given, MixtureSpec, Size
from seqit.mix.tokens import Counter, estimated
from seqit.records.run_stats import Row, RunStats

Hold = Callable[[Iterator[Row]], None]
"""Writes the rows that are held out."""


class Output(NamedTuple):
    """What becomes of the rows: `hold` writes those held out; without values rows are bytes."""

    hold: Hold | None = None
    plan_only: bool = False
    with_values: bool = False


_BYTES = Output()


class _Source(NamedTuple):
    available: Available
    rows: range
    cells: dict[str, Sequence[int]]


def mix(
    sources: Sequence[tuple[str, SourceReader]],
    stats: RunStats,
    wish: MixtureSpec,
    *,
    counter: Counter | None = None,
    output: Output = _BYTES,
) -> Iterator[Row]:
    """Yield the mixture; its plan stands in `stats.results["plan"]` before the first row.

    What is drawn, and in which order, depends on the seed and the ids of the records: not on
    their order, nor on how a source is split over files. Rows not drawn are rejected, repeated
    ones added; where only the plan is asked for all are rejected. Tokens are estimated without a
    `counter`. Raises UsageError for amounts that contradict one another, before a row is read,
    and SeqitError for an empty source that is to give something.
    """
    wish.check()
    counter = counter or estimated()
    measure = RowMeasurer(wish.seed, counter, wish.strata, wish.held_out is not None)
    with Pool(wish.seed) as pool:
        parts = [pool.add(feed(measure), wish.held_out is not None) for _, feed in sources]
        held = pool.hold_out(wish.held_out) if wish.held_out else array("I")
        found: list[_Source] = []
        for (name, _), part in zip(sources, parts, strict=True):
            cells = pool.cells(part)
            found.append(_Source(pool.available(name, part, cells), part, cells))
        plan = make_plan([source.available for source in found], wish)
        told = stats.results["plan"] = _draw(pool, found, plan, wish, counter)
        if wish.held_out:
            roots = pool.count_roots(held)
            told["held_out"] = held_out(wish.held_out, roots, pool.size(held))
        if output.plan_only:
            _reject_all(pool, stats)
            return
        stats.held_out += len(held)
        if output.hold:
            output.hold(pool.rows(held, output.with_values))
        for source in found:
            _settle(pool, source, stats)
        yield from pool.rows(pool.chosen(), output.with_values)


def _draw(
    pool: Pool, sources: Sequence[_Source], plan: MixturePlan, wish: MixtureSpec, counter: Counter
) -> dict[str, object]:
    """Draw every cell; returns the report."""
    given: list[Given] = []
    drawn = dict.fromkeys(plan.strata, Size())
    for i, (source, target) in enumerate(zip(sources, plan.sources, strict=True)):
        sizes = {
            stratum: pool.choose(rows, plan.cells[i].get(stratum, 0), target.unit)
            for stratum, rows in source.cells.items()
        }
        given.append(Given(source.available, target, sum(sizes.values(), Size()), wish.cap_of(i)))
        for stratum in drawn:
            drawn[stratum] += sizes.get(stratum, Size())
    strata = []
    for stratum, target in plan.strata.items():
        each = (source.available.strata.get(stratum, Size()) for source in sources)
        strata.append(Given(Available(stratum, sum(each, Size())), target, drawn[stratum]))
    return report(given, strata, wish, counter)


def _settle(pool: Pool, source: _Source, stats: RunStats) -> None:
    """Account for the rows of one source that the mixture leaves out or repeats."""
    rows = [i for cell in source.cells.values() for i in cell if not pool.copies[i]]
    count = source.available.size.rows
    stats.added += sum(pool.copies[i] for i in source.rows) - (count - len(rows))
    message = (
        f"{count - len(rows):,} of the {count:,} rows of {source.available.name} were drawn, "
        "this one not."
    )
    if not stats.keeps_rejects:  # reading a row back costs a disk access
        stats.reject_unseen(len(rows), "mix", "not-drawn")
        return
    for row in pool.rows(sorted(rows), with_values=True):
        stats.reject(row, "mix", "not-drawn", message)


def _reject_all(pool: Pool, stats: RunStats) -> None:
    numbers = range(len(pool.copies))
    if not stats.keeps_rejects:
        stats.reject_unseen(len(numbers), "mix", "plan-only")
        return
    for row in pool.rows(numbers, with_values=True):
        stats.reject(row, "mix", "plan-only", "Only the plan was asked for.")
