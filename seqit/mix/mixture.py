"""Combine sources by amounts and a seed into one shuffled mixture, with a report of the result."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from seqit.mix.measure import RowMeasurer, SourceReader
from seqit.mix.plan import MixturePlan, make_plan
from seqit.mix.pool import Pool
from seqit.mix.report import build_report, held_out_report
from seqit.mix.spec import Available, Contribution, MixtureSpec, Size
from seqit.mix.tokens import TokenCounter, estimating_counter
from seqit.records.run_stats import Row, RunStats

HeldOutWriter = Callable[[Iterator[Row]], None]
"""Writes the held-out rows."""


class MixOutput(NamedTuple):
    """How to write held-out rows, whether only the plan is wanted, and whether rows have values."""

    write_held_out: HeldOutWriter | None = None
    plan_only: bool = False
    with_values: bool = False


_BYTES = MixOutput()


class _PooledSource(NamedTuple):
    available: Available
    rows: range
    cells: dict[str, Sequence[int]]


def mix(
    sources: Sequence[tuple[str, SourceReader]],
    stats: RunStats,
    spec: MixtureSpec,
    *,
    counter: TokenCounter | None = None,
    output: MixOutput = _BYTES,
) -> Iterator[Row]:
    """Yield the mixture; its report is in `stats.results["plan"]` before the first row.

    What is sampled, and its order, depends on the seed and the ids of the records, not on their
    order or on how a source is split into files. Rows that are not sampled are rejected, copies
    count as added; with `plan_only` all rows are rejected. Tokens are estimated without a
    `counter`. Raises UsageError for contradictory amounts, before a row is read, and SeqitError
    for an empty source that has an amount.
    """
    spec.check()
    counter = counter or estimating_counter()
    has_roots = spec.held_out is not None
    measurer = RowMeasurer(spec.seed, counter, spec.strata, has_roots)
    with Pool(spec.seed) as pool:
        parts = [pool.add(read_source(measurer), has_roots) for _, read_source in sources]
        held_rows = pool.hold_out(spec.held_out) if spec.held_out else array("I")
        found: list[_PooledSource] = []
        for (name, _), part in zip(sources, parts, strict=True):
            cells = pool.cells(part)
            found.append(_PooledSource(pool.available(name, part, cells), part, cells))
        plan = make_plan([source.available for source in found], spec)
        report = stats.results["plan"] = _sample(pool, found, plan, spec, counter)
        if spec.held_out:
            roots = pool.count_roots(held_rows)
            report["held_out"] = held_out_report(spec.held_out, roots, pool.size(held_rows))
        if output.plan_only:
            _reject_all(pool, stats)
            return
        stats.held_out += len(held_rows)
        if output.write_held_out:
            output.write_held_out(pool.rows(held_rows, output.with_values))
        for source in found:
            _reject_unsampled(pool, source, stats)
        yield from pool.rows(pool.sampled_rows(), output.with_values)


def _sample(
    pool: Pool,
    sources: Sequence[_PooledSource],
    plan: MixturePlan,
    spec: MixtureSpec,
    counter: TokenCounter,
) -> dict[str, object]:
    """Sample every stratum of every source; returns the report."""
    contributions: list[Contribution] = []
    sampled = dict.fromkeys(plan.strata, Size())
    for i, (source, target) in enumerate(zip(sources, plan.sources, strict=True)):
        sizes = {
            stratum: pool.sample(rows, plan.cells[i].get(stratum, 0), target.unit)
            for stratum, rows in source.cells.items()
        }
        whole = sum(sizes.values(), Size())
        contributions.append(Contribution(source.available, target, whole, spec.cap_of(i)))
        for stratum in sampled:
            sampled[stratum] += sizes.get(stratum, Size())
    strata = []
    for stratum, target in plan.strata.items():
        parts = (source.available.strata.get(stratum, Size()) for source in sources)
        available = Available(stratum, sum(parts, Size()))
        strata.append(Contribution(available, target, sampled[stratum]))
    return build_report(contributions, strata, spec, counter)


def _reject_unsampled(pool: Pool, source: _PooledSource, stats: RunStats) -> None:
    """Count the rows of one source that the mixture leaves out as rejected, its copies as added."""
    rows = [i for cell in source.cells.values() for i in cell if not pool.copies[i]]
    count = source.available.size.rows
    stats.added += sum(pool.copies[i] for i in source.rows) - (count - len(rows))
    message = (
        f"{count - len(rows):,} of the {count:,} rows of {source.available.name} were drawn, "
        "this one not."
    )
    if not stats.keeps_rejects:  # reading a row back costs a disk access
        stats.count_rejected(len(rows), "mix", "not-drawn")
        return
    for row in pool.rows(sorted(rows), with_values=True):
        stats.reject(row, "mix", "not-drawn", message)


def _reject_all(pool: Pool, stats: RunStats) -> None:
    numbers = range(len(pool.copies))
    if not stats.keeps_rejects:
        stats.count_rejected(len(numbers), "mix", "plan-only")
        return
    for row in pool.rows(numbers, with_values=True):
        stats.reject(row, "mix", "plan-only", "Only the plan was asked for.")
