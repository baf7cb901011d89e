"""Mixtures in memory, for tests: records, amounts, and a run with its statistics."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from seqit.mix.measure import SourceReader, reader_for_records
from seqit.mix.mixture import MixOutput, mix
from seqit.mix.spec import Amount, MixtureSpec
from seqit.mix.tokens import TokenCounter
from seqit.records.run_stats import Row, RunStats


def record(name: str, words: int = 3) -> dict[str, Any]:
    return {
        "id": name,
        "instruction": "Count.",
        "input": "",
        "output": "word " * words,
        "lineage": {"root": name, "iteration": 0, "operation": "seed"},
    }


def source(prefix: str, count: int, words: int = 3) -> list[dict[str, Any]]:
    return [record(f"{prefix}{i}", words + i % 5) for i in range(count)]


def weight(number: str) -> Amount:
    return Amount(Fraction(number), "weight")


def rows(number: int) -> Amount:
    return Amount(Fraction(number), "rows")


def tokens(number: int) -> Amount:
    return Amount(Fraction(number), "tokens")


def source_reader(
    name: str, records: list[dict[str, Any]], stats: RunStats
) -> tuple[str, SourceReader]:
    def read() -> Iterator[Row]:
        for number, value in enumerate(records, 1):
            stats.read += 1
            yield Row(value, name, number)

    return name, reader_for_records(read(), stats)


def run(
    sources: Sequence[tuple[str, Amount | None, list[dict[str, Any]]]],
    seed: int = 7,
    *,
    counter: TokenCounter | None = None,
    plan_only: bool = False,
    held_out_ids: list[str] | None = None,
    **fields: Any,
) -> tuple[list[str], RunStats, list[dict[str, Any]]]:
    """Mix, check the balance of the run, and return the ids, the statistics and the rejects."""
    rejects: list[dict[str, Any]] = []
    stats = RunStats("mix", rejects.append)

    def collect(rows: Iterator[Row]) -> None:
        if held_out_ids is not None:
            held_out_ids.extend(row.value["id"] for row in rows)

    output = MixOutput(collect, plan_only, with_values=True)
    parts = [source_reader(name, records, stats) for name, _, records in sources]
    spec = MixtureSpec([amount for _, amount, _ in sources], seed=seed, **fields)
    ids = []
    for row in mix(parts, stats, spec, counter=counter, output=output):
        stats.written += 1
        ids.append(row.value["id"])
    stats.close()
    return ids, stats, rejects


def achieved(stats: RunStats) -> list[dict[str, Any]]:
    return [part["achieved"] for part in stats.results["plan"]["sources"]]
