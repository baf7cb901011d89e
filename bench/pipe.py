"""Measure seqit pipe against its commands: bench/pipe.py [--rows N] [--runs N].

Three commands in one process against the slowest of them alone plus one parse and write of its
rows (bench/floor.py), and against the same commands in a shell pipe. Runs alternate; medians.
"""

import argparse
import statistics
import sys
from pathlib import Path

from run import BENCH, PYTHON, SEQIT, WORK, Cost, make, run

STAGES = ("import -q --format alpaca --workers 1", "augment -q --seed 7", "filter -q --workers 1")
LIGHT = (
    "import -q --format alpaca --workers 1",
    "filter -q --workers 1",
    "export -q --format messages",
)


def inputs(stages: tuple[str, ...], raw: Path) -> list[Path]:
    """Return the input of each stage when it runs alone."""
    files = [raw]
    for number, stage in enumerate(stages):
        target = WORK / f"pipe-{number}-{stage.split()[0]}-{raw.name}"
        run("sh", "-c", f"{SEQIT} {stage} {files[-1]} > {target}")
        files.append(target)
    return files


def measure(stages: tuple[str, ...], raw: Path, runs: int) -> None:
    """Print the medians of one pipe and of the commands it is compared with."""
    files = inputs(stages, raw)
    first, *rest = stages
    pipeline = " | ".join((f"{first} {raw}", *rest))
    shell = " | ".join(f"{SEQIT} {stage}" for stage in (f"{first} {raw}", *rest))
    commands: dict[str, tuple[object, ...]] = {
        stage.split()[0]: (SEQIT, *stage.split(), source)
        for stage, source in zip(stages, files, strict=False)
    }
    commands["floor"] = (PYTHON, BENCH / "floor.py", files[1])
    commands["pipe"] = (SEQIT, "pipe", pipeline)
    commands["shell"] = ("sh", "-c", shell)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            costs[name].append(run(*command))
    seconds = {name: statistics.median(c.seconds for c in each) for name, each in costs.items()}
    alone = {stage.split()[0]: seconds[stage.split()[0]] for stage in stages}
    slowest = max(alone, key=alone.__getitem__)
    bound = alone[slowest] + seconds["floor"]
    print(f"\n{pipeline}")
    for name, measured in costs.items():
        memory = max(cost.memory for cost in measured)
        cpu = statistics.median(cost.cpu for cost in measured)
        print(f"  {name:10} {seconds[name]:7.2f} s {cpu:7.2f} s CPU {memory:6.0f} MB")
    print(
        f"  pipe / ({slowest} + floor): {seconds['pipe'] / bound:.2f}; sum of the three alone"
        f" / pipe: {sum(alone.values()) / seconds['pipe']:.2f}; shell / pipe: "
        f"{seconds['shell'] / seconds['pipe']:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    raw, _ = make(options.rows)
    for stages in (STAGES, LIGHT):
        measure(stages, raw, options.runs)


if __name__ == "__main__":
    sys.exit(main())
