"""Measure seqit's commands against their floors, in alternated runs: bench/run.py [--rows N].

Prints one line per measurement: the median of the runs, and the median of the ratios to the floor
that ran just before.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

BENCH = Path(__file__).parent
BIN = Path(sys.executable).parent
WORK = BENCH / "data"
FLANCOT = BENCH.parents[1] / "shared" / "data" / "flancot"
SEQIT, PYTHON = BIN / "seqit", sys.executable


class Cost(NamedTuple):
    """Cost of one command: seconds, CPU seconds of all its processes, MB of the largest one."""

    seconds: float
    cpu: float
    memory: float


def run(*command: object) -> Cost:
    """Run one command and discard its output. Raises SystemExit if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare_with_floor(
    name: str, floor: tuple[object, ...], commands: dict[str, tuple[object, ...]], runs: int
) -> None:
    """Alternate the floor and the commands; print medians and ratios."""
    floors: list[Cost] = []
    costs: dict[str, list[Cost]] = {key: [] for key in commands}
    for _ in range(runs):
        floors.append(run(*floor))
        for key, command in commands.items():
            costs[key].append(run(*command))
    print(f"\n{name}: floor {statistics.median(cost.seconds for cost in floors):.3f} s")
    print(f"  {'':32} {'seconds':>8} {'x floor':>8} {'CPU x floor':>12} {'peak MB':>8}")
    for key, measured in costs.items():
        pairs = list(zip(measured, floors, strict=True))
        print(
            f"  {key:32} {statistics.median(cost.seconds for cost in measured):8.2f}"
            f" {statistics.median(cost.seconds / low.seconds for cost, low in pairs):8.2f}"
            f" {statistics.median(cost.cpu / low.cpu for cost, low in pairs):12.2f}"
            f" {max(cost.memory for cost in measured):8.0f}"
        )


def make(rows: int) -> tuple[Path, Path]:
    """Return a file of Alpaca-like rows and the same as records, created if missing."""
    WORK.mkdir(exist_ok=True)
    raw, records = WORK / f"alpaca-{rows}.jsonl", WORK / f"records-{rows}.jsonl"
    if not raw.exists():
        with raw.open("wb") as file:
            script = [sys.executable, str(BENCH / "generate.py"), str(rows)]
            subprocess.run(script, stdout=file, check=True)
    if not records.exists():
        run(SEQIT, "import", "--format", "alpaca", raw, "-o", records)
    return raw, records


def measure_rows(rows: int, runs: int) -> None:
    """Measure the commands that read and write rows against a pass of loads + dumps."""
    raw, records = make(rows)
    import_ = (SEQIT, "import", "-q", "--format", "alpaca", raw)
    compare_with_floor(
        f"{rows:,} Alpaca rows, {raw.stat().st_size / rows:.0f} bytes each",
        (PYTHON, BENCH / "floor.py", raw),
        {"import": import_, "import --workers 1": (*import_, "--workers", "1")},
        runs,
    )
    filter_ = (SEQIT, "filter", "-q", records)
    compare_with_floor(
        f"the same as records, {records.stat().st_size / rows:.0f} bytes each",
        (PYTHON, BENCH / "floor.py", records),
        {
            "filter (default rules)": filter_,
            "filter --workers 1": (*filter_, "--workers", "1"),
            "validate": (SEQIT, "validate", "-q", records),
            "export --format messages": (SEQIT, "export", "-q", "--format", "messages", records),
            "mix, all of it, shuffled": (SEQIT, "mix", "-q", records),
        },
        runs,
    )


def measure_augment(runs: int) -> None:
    """Measure the builtin teacher in one process on FlanCoT."""
    if not FLANCOT.is_dir():
        print(f"\naugment: skipped, {FLANCOT} does not exist")
        return
    flancot = WORK / "flancot.jsonl"
    run(SEQIT, "import", "-q", "--format", "flancot", *sorted(FLANCOT.glob("*.tsv")), "-o", flancot)
    count = flancot.read_bytes().count(b"\n")
    costs = [run(SEQIT, "augment", "-q", "--seed", seed, flancot) for seed in range(runs)]
    seconds = statistics.median(cost.seconds for cost in costs)
    print(
        f"\naugment, builtin teacher, {count:,} FlanCoT rows: {seconds:.2f} s, "
        f"{count / seconds:,.0f} rows/s, {max(cost.memory for cost in costs):.0f} MB peak"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    start = (PYTHON, "-c", "import click")
    compare_with_floor("start", start, {"seqit --help": (SEQIT, "--help")}, options.runs * 4)
    measure_rows(options.rows, options.runs)
    measure_augment(options.runs)


if __name__ == "__main__":
    main()
