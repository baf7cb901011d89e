"""Mixtures in memory, for tests: records, amounts, and a run with its account."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from seqit.mix.measure import SourceReader, measured_rows
from seqit.mix.mixture import Output, mix
from seqit.mix.spec import Amount, MixtureSpec
from seqit.mix.tokens import Counter
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


def feed(name: str, records: list[dict[str, Any]], stats: RunStats) -> tuple[str, SourceReader]:
    def read() -> Iterator[Row]:
        for number, value in enumerate(records, 1):
            stats.read += 1
            yield Row(value, name, number)

    return name, measured_rows(read(), stats)


def run(
    sources: Sequence[tuple[str, Amount | None, list[dict[str, Any]]]],
    seed: int = 7,
    *,
    counter: Counter | None = None,
    plan_only: bool = False,
    held: list[str] | None = None,
    **wish: Any,
) -> tuple[list[str], RunStats, list[dict[str, Any]]]:
    """Mix, close the account, and return the ids, the account and the rejects."""
    rejects: list[dict[str, Any]] = []
    stats = RunStats("mix", rejects.append)
    hold = (lambda rows: held.extend(row.value["id"] for row in rows)) if held is not None else None
    output = Output(hold, plan_only, with_values=True)
    parts = [feed(name, records, stats) for name, _, records in sources]
    wanted = MixtureSpec([amount for _, amount, _ in sources], seed=seed, **wish)
    ids = []
    for row in mix(parts, stats, wanted, counter=counter, output=output):
        stats.written += 1
        ids.append(row.value["id"])
    stats.close()
    return ids, stats, rejects


def achieved(stats: RunStats) -> list[dict[str, Any]]:
    return [part["achieved"] for part in stats.results["plan"]["sources"]]
