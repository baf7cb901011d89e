"""Sample a subset whose output lengths match another file's, to remove length as a confounder.

Outputs of chains are some 40 % longer than those of single instructions (see the paper's tables),
so length alone could explain better training results. Histogram matching samples rows from each
bin of lengths in proportion to the baseline's rows in it.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from seqit.engine.spool import Spool, ensure_decoded
from seqit.errors import SeqitError
from seqit.records.identity import stable_hash
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

BINS = 100
"""Bins with equal shares of the baseline; lengths are not matched within a bin."""
MAX_SHORTFALL = 0.01
"""Share of the subset that bins with too few rows may lack, so that one rare length does not
make the subset small."""
STAGE = "match-length"

Lengths = Counter[int]
"""Length of an output → number of outputs."""


@dataclass(frozen=True, slots=True)
class LengthFunction:
    """Measures the length of an output, in `unit`."""

    unit: str
    length: Callable[[str], int]


WORDS = LengthFunction("words", lambda text: len(text.split()))


def count_lengths(records: Iterable[Record], length_function: LengthFunction, name: str) -> Lengths:
    """Return the output lengths of the baseline; raises SeqitError if it has no rows."""
    lengths = Counter(length_function.length(record["output"]) for record in records)
    if not lengths:
        raise SeqitError(f"{name}: no records to match the length of")
    return lengths


def match_length(
    rows: Iterable[Row],
    stats: RunStats,
    *,
    baseline: Lengths,
    length_function: LengthFunction,
    seed: int,
) -> Iterator[Row]:
    """Yield a subset of the rows whose output lengths are distributed as the baseline's.

    The subset is as large as the rows allow with MAX_SHORTFALL; which rows of a bin are sampled
    depends on the seed and their ids. The others are rejected. Rows are stored on disk, with 24
    bytes per row in memory. `stats.results["match_length"]` has mean and distance before and after
    (Kolmogorov-Smirnov: the largest difference of the cumulative shares, 0 to 1).
    """
    edges = bin_edges(baseline)
    unit = length_function.unit
    bins, lengths, hashes = array("h"), array("I"), array("Q")
    with Spool(stats) as spool:
        for row in map(ensure_decoded, rows):
            if spool.add(row):
                length = length_function.length(row.value["output"])
                lengths.append(length)
                bins.append(bin_of(length, edges))
                hashes.append(stable_hash(seed, row.value["id"], 0, STAGE) >> 64)
        available = Counter(bins)
        quotas = plan_quotas(bin_counts(baseline, edges), available)
        limits = _hash_limits(bins, hashes, quotas)
        selected = bytearray(_is_selected(bins, hashes, limits))
        after = Counter(length for length, is_in in zip(lengths, selected, strict=True) if is_in)
        stats.results["match_length"] = build_report(baseline, Counter(lengths), after, unit)
        for index, row in enumerate(spool.rows()):
            if selected[index]:
                yield row
                continue
            length, bin_index = lengths[index], bins[index]
            quota = quotas.get(bin_index, 0)
            message = (
                f"the output has {length:,} {unit}; of the {available[bin_index]:,} rows of about "
                f"this length {quota:,} were drawn, this one not"
                if quota
                else f"the output has {length:,} {unit}, a length for which none was drawn"
            )
            evidence = {"length": length, "unit": unit}
            stats.reject(row, STAGE, "length-unmatched", message, **evidence)


def bin_edges(lengths: Lengths) -> list[int]:
    """Return the edges of the bins: bin i has the lengths above edge i, up to edge i + 1 inclusive.

    The BINS have equal shares of the lengths, except that equal lengths are in one bin.
    """
    ordered = sorted(lengths)
    total = lengths.total()
    edges = [ordered[0] - 1]
    reached = 0
    for length, count in zip(ordered, accumulate(map(lengths.__getitem__, ordered)), strict=True):
        full_bins = count * BINS // total
        if full_bins > reached or length == ordered[-1]:
            edges.append(length)
            reached = full_bins
    return edges


def bin_of(length: int, edges: Sequence[int]) -> int:
    """Return the index of a length's bin; -1 for lengths outside of the baseline's range."""
    index = bisect_left(edges, length) - 1
    return index if 0 <= index < len(edges) - 1 else -1


def bin_counts(lengths: Lengths, edges: Sequence[int]) -> list[int]:
    """Return how many of the lengths are in each bin."""
    counts = [0] * (len(edges) - 1)
    for length, count in lengths.items():
        if (index := bin_of(length, edges)) >= 0:
            counts[index] += count
    return counts


def plan_quotas(wanted: Sequence[int], available: Counter[int]) -> dict[int, int]:
    """Return how many rows to sample from each bin: as many as possible, in the shares of `wanted`.

    Bins without rows are left out; the others may lack MAX_SHORTFALL of the rows.
    """
    sizes = {index: available[index] for index in range(len(wanted)) if available[index]}
    total = sum(wanted[index] for index in sizes)

    def is_too_large(size: int) -> bool:
        lacking = sum(
            max(0.0, size * wanted[index] / total - bin_size) for index, bin_size in sizes.items()
        )
        return lacking > MAX_SHORTFALL * size

    low, high = 0, sum(sizes.values())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if is_too_large(middle) else (middle, high)
    # The rows lost by rounding down go to the bins with the largest remainders.
    parts = {index: divmod(low * wanted[index], total) for index in sizes}
    remaining = low - sum(quota for quota, _ in parts.values())
    rounded_up = sorted(sizes, key=lambda index: (-parts[index][1], index))[:remaining]
    return {index: min(parts[index][0] + (index in rounded_up), sizes[index]) for index in sizes}


def _hash_limits(
    bins: "array[int]", hashes: "array[int]", quotas: dict[int, int]
) -> dict[int, tuple[int, int]]:
    """Return by bin the highest hash sampled, and how many of the rows with this hash are."""
    limits: dict[int, tuple[int, int]] = {}
    by_bin: dict[int, array[int]] = {index: array("Q") for index, quota in quotas.items() if quota}
    for index, row_hash in zip(bins, hashes, strict=True):
        if index in by_bin:
            by_bin[index].append(row_hash)
    for index in list(by_bin):
        selected = sorted(by_bin.pop(index))[: quotas[index]]
        limits[index] = (selected[-1], selected.count(selected[-1]))
    return limits


def _is_selected(
    bins: "array[int]", hashes: "array[int]", limits: dict[int, tuple[int, int]]
) -> Iterator[bool]:
    """Yield for each row whether it is sampled; of equal hashes (of equal ids), the first are."""
    remaining = {index: count for index, (_, count) in limits.items()}
    for index, row_hash in zip(bins, hashes, strict=True):
        highest = limits[index][0] if index in limits else -1
        if row_hash == highest and remaining[index]:
            remaining[index] -= 1
            yield True
        else:
            yield row_hash < highest


def distance(one: Lengths, other: Lengths) -> float:
    """Return the Kolmogorov-Smirnov distance of two distributions; 1 if one is empty."""
    totals = one.total(), other.total()
    if not all(totals):
        return 1.0
    counts = [0, 0]
    largest = 0.0
    for length in sorted({*one, *other}):
        counts = [counts[0] + one[length], counts[1] + other[length]]
        largest = max(largest, abs(counts[0] / totals[0] - counts[1] / totals[1]))
    return largest


def mean(lengths: Lengths) -> float:
    """Return the mean length; 0 if there are none."""
    total = lengths.total()
    return sum(length * count for length, count in lengths.items()) / total if total else 0.0


def build_report(baseline: Lengths, before: Lengths, after: Lengths, unit: str) -> dict[str, Any]:
    """Return rows, mean length and distance to the baseline, before and after."""
    report: dict[str, Any] = {"unit": unit}
    for name, lengths in (("baseline", baseline), ("before", before), ("after", after)):
        report[name] = {"rows": lengths.total(), "mean": round(mean(lengths), 3)}
        if lengths is not baseline:
            report[name]["distance"] = round(distance(baseline, lengths), 6)
    return report


def report_line(report: dict[str, Any]) -> str:
    """Format the report as one line."""
    wanted = report["baseline"]["mean"]
    parts = [f"output length in {report['unit']}: mean {wanted:.1f} in the baseline"]
    for name in ("before", "after"):
        part = report[name]
        parts.append(f"{part['mean']:.1f} {name} (distance {part['distance']:.3f})")
    return ", ".join(parts)
