"""Compare this checkout's speed with another one's: bench/against.py OTHER/.venv-test/bin/seqit.

Each command runs with both in turn; prints the medians, and the median of the ratios of the pairs.
The options are those that both versions know.
"""

import argparse
import statistics
from pathlib import Path

from filter import RULES
from run import FLANCOT, SEQIT, WORK, make, run


def commands(rows: int) -> dict[str, tuple[object, ...]]:
    """Return the arguments of the commands of bench/run.py and bench/filter.py by their names."""
    raw, records = make(rows)
    filter_ = ("filter", "-q", records)
    named = {
        "import": ("import", "-q", "--format", "alpaca", raw),
        "import --workers 1": ("import", "-q", "--format", "alpaca", raw, "--workers", 1),
        "filter": filter_,
        "filter --workers 1": (*filter_, "--workers", 1),
        "filter --workers 1, ten rules": (*filter_, "--workers", 1, *RULES),
        "validate": ("validate", "-q", records),
        "export": ("export", "-q", "--format", "messages", records),
        "mix": ("mix", "-q", records),
    }
    if FLANCOT.is_dir():
        flancot = WORK / "flancot.jsonl"
        files = sorted(FLANCOT.glob("*.tsv"))
        run(SEQIT, "import", "-q", "--format", "flancot", *files, "-o", flancot)
        named["augment, FlanCoT"] = ("augment", "-q", flancot)
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="the seqit of another checkout")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(f"{'':32} {'this, s':>8} {'other, s':>8} {'ratio':>6} {'CPU':>6}")
    named = {"--help": ("--help",)} | commands(options.rows)
    for name, arguments in named.items():
        pairs = []
        for number in range(options.runs + 1):  # the first pair warms the caches
            first, second = (SEQIT, options.other) if number % 2 else (options.other, SEQIT)
            costs = {seqit: run(seqit, *arguments) for seqit in (first, second)}
            pairs.append((costs[SEQIT], costs[options.other]))
        this, other = zip(*pairs[1:], strict=True)
        print(
            f"{name:32} {statistics.median(cost.seconds for cost in this):8.2f}"
            f" {statistics.median(cost.seconds for cost in other):8.2f}"
            f" {statistics.median(a.seconds / b.seconds for a, b in pairs[1:]):6.3f}"
            f" {statistics.median(a.cpu / b.cpu for a, b in pairs[1:]):6.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
