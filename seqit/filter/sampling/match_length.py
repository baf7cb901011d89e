"""A subset whose outputs are as long as another file's: the length confound taken out.

Outputs of chains are some 40 % longer than those of single instructions (see the paper's tables);
where they train better, length alone could be why. Histogram matching draws from each bin of
lengths as many rows as the baseline has in it, in proportion.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from seqit.engine.spool import Spool, value_of
from seqit.errors import SeqitError
from seqit.records.identity import stable_hash
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

BINS = 100
"""Bins of equal share of the baseline; what is left of a difference is within a bin."""
SHORTFALL = 0.01
"""Share of the subset that bins with too few rows may lack, so that one rare length does not
make it small."""
STAGE = "match-length"

Lengths = Counter[int]
"""Length of an output → how many have it."""


@dataclass(frozen=True, slots=True)
class LengthFunction:
    """How long an output is; `unit` says in what."""

    unit: str
    length: Callable[[str], int]


WORDS = LengthFunction("words", lambda text: len(text.split()))


def lengths_of(records: Iterable[Record], measure: LengthFunction, name: str) -> Lengths:
    """Return the output lengths of the baseline; raises SeqitError where it has no rows."""
    lengths = Counter(measure.length(record["output"]) for record in records)
    if not lengths:
        raise SeqitError(f"{name}: no records to match the length of")
    return lengths


def match_length(
    rows: Iterable[Row], stats: RunStats, *, baseline: Lengths, measure: LengthFunction, seed: int
) -> Iterator[Row]:
    """Yield a subset of the rows whose output lengths are distributed as the baseline's.

    The subset is as large as the rows allow, SHORTFALL granted; which rows of a bin are drawn
    depends on the seed and their ids. The others are rejected. Rows wait on disk, and of each
    24 bytes in memory. `stats.results["match_length"]` tells mean and distance before and after
    (Kolmogorov-Smirnov: the largest difference of the cumulative shares, 0 to 1).
    """
    edges = bin_edges(baseline)
    bins, lengths, lots = array("h"), array("I"), array("Q")
    with Spool(stats) as spool:
        for row in map(value_of, rows):
            if spool.add(row):
                length = measure.length(row.value["output"])
                lengths.append(length)
                bins.append(bin_of(length, edges))
                lots.append(stable_hash(seed, row.value["id"], 0, STAGE) >> 64)
        available = Counter(bins)
        quotas = plan_quotas(bin_counts(baseline, edges), available)
        limits = _limits(bins, lots, quotas)
        drawn = bytearray(_drawn(bins, lots, limits))
        after = Counter(length for length, is_in in zip(lengths, drawn, strict=True) if is_in)
        stats.results["match_length"] = report(baseline, Counter(lengths), after, measure.unit)
        for number, row in enumerate(spool.rows()):
            if drawn[number]:
                yield row
                continue
            length, place = lengths[number], bins[number]
            quota = quotas.get(place, 0)
            message = (
                f"the output has {length:,} {measure.unit}; of the {available[place]:,} rows of "
                f"about this length {quota:,} were drawn, this one not"
                if quota
                else f"the output has {length:,} {measure.unit}, a length for which none was drawn"
            )
            evidence = {"length": length, "unit": measure.unit}
            stats.reject(row, STAGE, "length-unmatched", message, **evidence)


def bin_edges(lengths: Lengths) -> list[int]:
    """Return the bins' edges: bin i holds lengths above edge i, up to and with edge i + 1.

    Each of the BINS has an equal share of the lengths, as far as equal lengths can be parted.
    """
    ordered = sorted(lengths)
    total = lengths.total()
    edges = [ordered[0] - 1]
    reached = 0
    for length, seen in zip(ordered, accumulate(map(lengths.__getitem__, ordered)), strict=True):
        share = seen * BINS // total
        if share > reached or length == ordered[-1]:
            edges.append(length)
            reached = share
    return edges


def bin_of(length: int, edges: Sequence[int]) -> int:
    """Return the number of a length's bin; -1 where the baseline has none so short or long."""
    place = bisect_left(edges, length) - 1
    return place if 0 <= place < len(edges) - 1 else -1


def bin_counts(lengths: Lengths, edges: Sequence[int]) -> list[int]:
    """Return how many of the lengths each bin has."""
    counts = [0] * (len(edges) - 1)
    for length, count in lengths.items():
        if (place := bin_of(length, edges)) >= 0:
            counts[place] += count
    return counts


def plan_quotas(wanted: Sequence[int], available: Counter[int]) -> dict[int, int]:
    """Return how many rows to draw from each bin: as many as can be, in the shares of `wanted`.

    Bins without any row are beyond help; of the others' rows SHORTFALL may lack.
    """
    held = {place: available[place] for place in range(len(wanted)) if available[place]}
    total = sum(wanted[place] for place in held)

    def lacks(size: int) -> bool:
        short = sum(max(0.0, size * wanted[place] / total - there) for place, there in held.items())
        return short > SHORTFALL * size

    low, high = 0, sum(held.values())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if lacks(middle) else (middle, high)
    # The largest remainders get what rounding down leaves over.
    parts = {place: divmod(low * wanted[place], total) for place in held}
    left = low - sum(quota for quota, _ in parts.values())
    most = sorted(held, key=lambda place: (-parts[place][1], place))[:left]
    return {place: min(parts[place][0] + (place in most), held[place]) for place in held}


def _limits(
    bins: "array[int]", lots: "array[int]", quotas: dict[int, int]
) -> dict[int, tuple[int, int]]:
    """Return the highest lot drawn in each bin, and how many of the rows with this lot are."""
    limits: dict[int, tuple[int, int]] = {}
    of_bin: dict[int, array[int]] = {place: array("Q") for place, quota in quotas.items() if quota}
    for place, number in zip(bins, lots, strict=True):
        if place in of_bin:
            of_bin[place].append(number)
    for place in list(of_bin):
        drawn = sorted(of_bin.pop(place))[: quotas[place]]
        limits[place] = (drawn[-1], drawn.count(drawn[-1]))
    return limits


def _drawn(
    bins: "array[int]", lots: "array[int]", limits: dict[int, tuple[int, int]]
) -> Iterator[bool]:
    """Tell of each row whether it is drawn; of equal lots, which equal ids have, the first are."""
    left = {place: count for place, (_, count) in limits.items()}
    for place, number in zip(bins, lots, strict=True):
        highest = limits[place][0] if place in limits else -1
        if number == highest and left[place]:
            left[place] -= 1
            yield True
        else:
            yield number < highest


def distance(one: Lengths, other: Lengths) -> float:
    """Return the Kolmogorov-Smirnov distance of two distributions; 1 where one is empty."""
    totals = one.total(), other.total()
    if not all(totals):
        return 1.0
    seen = [0, 0]
    largest = 0.0
    for length in sorted({*one, *other}):
        seen = [seen[0] + one[length], seen[1] + other[length]]
        largest = max(largest, abs(seen[0] / totals[0] - seen[1] / totals[1]))
    return largest


def mean(lengths: Lengths) -> float:
    """Return the mean length; 0 for none."""
    total = lengths.total()
    return sum(length * count for length, count in lengths.items()) / total if total else 0.0


def report(baseline: Lengths, before: Lengths, after: Lengths, unit: str) -> dict[str, Any]:
    """Return rows, mean length and distance to the baseline, before and after."""
    told: dict[str, Any] = {"unit": unit}
    for name, lengths in (("baseline", baseline), ("before", before), ("after", after)):
        told[name] = {"rows": lengths.total(), "mean": round(mean(lengths), 3)}
        if lengths is not baseline:
            told[name]["distance"] = round(distance(baseline, lengths), 6)
    return told


def report_line(told: dict[str, Any]) -> str:
    """Return the report as one closing line."""
    wanted = told["baseline"]["mean"]
    parts = [f"output length in {told['unit']}: mean {wanted:.1f} in the baseline"]
    for name in ("before", "after"):
        part = told[name]
        parts.append(f"{part['mean']:.1f} {name} (distance {part['distance']:.3f})")
    return ", ".join(parts)
