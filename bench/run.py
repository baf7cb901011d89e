"""Measure seqit's commands beside their floors, in alternated runs: bench/run.py [--rows N].

Prints one line a measurement: the median of the runs, and the ratio to the floor of the same run.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

BENCH = Path(__file__).parent
BIN = Path(sys.executable).parent
WORK = BENCH / "data"
FLANCOT = BENCH.parents[1] / "shared" / "data" / "flancot"


class Cost(NamedTuple):
    """What one process took: CPU seconds (user and system), and peak memory in MB."""

    seconds: float
    memory: float


def run(*command: object) -> Cost:
    """Run one command to the end, its output thrown away."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def beside(name: str, floor: tuple[object, ...], commands: dict[str, tuple[object, ...]], n: int):
    """Alternate the floor and the commands `n` times; print medians and ratios."""
    floors, costs = [], {key: [] for key in commands}
    for _ in range(n):
        floors.append(run(*floor))
        for key, command in commands.items():
            costs[key].append(run(*command))
    base = statistics.median(cost.seconds for cost in floors)
    print(f"{name}: floor {base:.2f} s")
    for key, runs in costs.items():
        seconds = statistics.median(cost.seconds for cost in runs)
        ratio = statistics.median(
            cost.seconds / low.seconds for cost, low in zip(runs, floors, strict=True)
        )
        memory = max(cost.memory for cost in runs)
        print(f"  {key:34} {seconds:7.2f} s  {ratio:5.2f} times the floor  {memory:4.0f} MB peak")


def make(rows: int) -> tuple[Path, Path]:
    """Return a file of Alpaca-like rows and the same as records, made once."""
    WORK.mkdir(exist_ok=True)
    raw, records = WORK / f"alpaca-{rows}.jsonl", WORK / f"records-{rows}.jsonl"
    if not raw.exists():
        with raw.open("wb") as file:
            subprocess.run(
                [sys.executable, BENCH / "generate.py", str(rows)], stdout=file, check=True
            )
    if not records.exists():
        run(BIN / "seqit", "import", "--format", "alpaca", raw, "-o", records)
    return raw, records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    seqit, python = BIN / "seqit", sys.executable

    beside(
        "start",
        (python, "-c", "import click"),
        {"seqit --help": (seqit, "--help")},
        options.runs * 4,
    )
    raw, records = make(options.rows)
    beside(
        f"{options.rows:,} Alpaca rows, {raw.stat().st_size / options.rows:.0f} bytes each",
        (python, BENCH / "floor.py", raw),
        {"seqit import --format alpaca": (seqit, "import", "-q", "--format", "alpaca", raw)},
        options.runs,
    )
    beside(
        f"the same as records, {records.stat().st_size / options.rows:.0f} bytes each",
        (python, BENCH / "floor.py", records),
        {
            "seqit validate -o -": (seqit, "validate", "-q", "-o", "-", records),
            "seqit filter": (seqit, "filter", "-q", records),
            "seqit export --format messages": (
                *(seqit, "export", "-q", "--format", "messages", records),
            ),
        },
        options.runs,
    )
    if not FLANCOT.is_dir():
        print(f"augment: skipped, {FLANCOT} is not there")
        return
    flancot = WORK / "flancot.jsonl"
    run(seqit, "import", "-q", "--format", "flancot", *sorted(FLANCOT.glob("*.tsv")), "-o", flancot)
    count = sum(1 for _ in flancot.open("rb"))
    runs = [run(seqit, "augment", "-q", "--seed", i, flancot) for i in range(options.runs)]
    seconds = statistics.median(cost.seconds for cost in runs)
    memory = max(cost.memory for cost in runs)
    print(f"augment, builtin teacher, {count:,} FlanCoT rows: {seconds:.2f} s, "
          f"{count / seconds:,.0f} rows/s, {memory:.0f} MB peak")  # fmt: skip


if __name__ == "__main__":
    main()
