"""Measure seqit filter with ten rules, and how its cost grows: bench/filter.py [--sizes N …].

The ten: those of the default set, a limit of length, and near-duplicate. One process. The first
table is over 300,000 Alpaca-like rows of 1.7 KB, alternated with the floor (parse and write) and
with three predicates in msgspec, which is installed in a separate environment. The second is over
more and more rows of 300 bytes with bounded memory: `--memory` is for the rules that remember
rows; the interpreter and rows in flight take about 60 MB more.
"""

import argparse
import random
import statistics
import subprocess
import sys
from pathlib import Path

import orjson
from generate import SEED, WORDS, text, word
from run import BENCH, PYTHON, SEQIT, WORK, Cost, run

RULES = ("-r", "length:field=output,max_words=2000", "-r", "near-duplicate")
TEN = (SEQIT, "filter", "-q", "--workers", 1, *RULES)


def msgspec() -> Path:
    """Return the python of an environment with msgspec, created if missing."""
    python = WORK / "environments" / "msgspec" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "msgspec==0.21.1"], check=True)
    return python


def alpaca(rows: int) -> Path:
    """Return a file of records, created if missing."""
    path = WORK / f"records-{rows}.jsonl"
    if not path.exists():
        raw = WORK / f"alpaca-{rows}.jsonl"
        with raw.open("wb") as out:
            subprocess.run([PYTHON, BENCH / "generate.py", str(rows)], stdout=out, check=True)
        run(SEQIT, "import", "-q", "--format", "alpaca", raw, "-o", path)
    return path


def short(rows: int) -> Path:
    """Return a file of short records, all different, created if missing."""
    path = WORK / f"short-{rows}.jsonl"
    if path.exists():
        return path
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for number in range(rows):
            name = f"row{number}"
            row = {
                "id": name,
                "instruction": " ".join(rng.choices(words, k=14)),
                "input": "",
                "output": text(rng, words, 12),
                "lineage": {"root": name, "iteration": 0, "operation": "seed"},
            }
            file.write(orjson.dumps(row) + b"\n")
    return part.rename(path)


def rates(rows: int, runs: int) -> None:
    """Print the ten rules next to the floors: medians of alternated runs."""
    source, out = alpaca(rows), WORK / "out.jsonl"
    commands = {
        "floor: parse and write": (PYTHON, BENCH / "floor.py", source),
        "three predicates, msgspec": (msgspec(), BENCH / "three_predicates.py", source, out),
        "filter, the default rules": (SEQIT, "filter", "-q", "--workers", 1, source, "-o", out),
        "filter, ten rules": (*TEN, source, "-o", out),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            costs[name].append(run(*command))
    floors = costs["floor: parse and write"]
    print(f"\n{rows:,} rows of 1.7 KB, medians of {runs}\n")
    print("| | rows/s per core | CPU, times the floor | peak MB |")
    print("|---|---|---|---|")
    for name, measured in costs.items():
        cpu = statistics.median(cost.cpu for cost in measured)
        pairs = zip(measured, floors, strict=True)
        ratio = statistics.median(cost.cpu / floor.cpu for cost, floor in pairs)
        print(
            f"| {name} | {rows / cpu:,.0f} | {ratio:.2f} | {measured[0].memory:.0f} |", flush=True
        )


def growth(sizes: list[int], memory: str) -> None:
    """Print the cost of the ten rules for a growing number of rows."""
    print(f"\nten rules, rows of 300 bytes, --memory {memory}\n")
    print("| rows | µs per row | seconds | peak MB |")
    print("|---|---|---|---|")
    for rows in sizes:
        cost = run(*TEN, "--memory", memory, short(rows), "-o", WORK / "out.jsonl")
        microseconds = cost.cpu / rows * 1e6
        print(
            f"| {rows:,} | {microseconds:.1f} | {cost.seconds:.0f} | {cost.memory:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--memory", default="2GB")
    options = parser.parse_args()
    if options.runs:
        rates(options.rows, options.runs)
    growth(options.sizes, options.memory)


if __name__ == "__main__":
    main()
