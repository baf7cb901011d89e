"""Find planted items of a benchmark: bench/decontaminate/run.py [--rows N] [--items N].

Prints the recall of items planted verbatim and lightly edited, the false alarms among the other
rows, and the cost beside the same command with a rule that does nothing, one process each.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import orjson

BENCH = Path(__file__).parents[1]
sys.path.insert(0, str(BENCH))
from run import PYTHON, SEQIT, WORK, run  # noqa: E402


def lines(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=10_000)
    given = parser.parse_args()
    folder = WORK / f"decontaminate-{given.rows}-{given.items}"
    if not folder.exists():
        run(PYTHON, Path(__file__).parent / "generate.py", given.rows, folder, given.items)
    rows, rejects = folder / "rows.jsonl", folder / "rejects.jsonl"
    command = (SEQIT, "filter", "-q", "--no-defaults", "--workers", 1)
    rule = ("--rule", f"decontaminate:against={folder / 'bench.jsonl'}")
    run(*command, *rule, "--rejects", rejects, rows)
    show(lines(folder / "truth.jsonl"), lines(rejects), given.rows)
    start = run(*command, *rule, "/dev/null")
    floor, cost = run(*command, "--rule", "keep", rows), run(*command, *rule, rows)
    took = cost.cpu - start.cpu
    print(f"  index of {given.items:,} items: {start.cpu:.2f} s, {start.memory:.0f} MB at most")
    print(f"  {given.rows / took:,.0f} rows/s of one core's time, {took / floor.cpu:.2f} times the")
    print(f"  same filter with the rule 'keep' ({given.rows / floor.cpu:,.0f} rows/s)")


def show(planted: list[dict], rejects: list[dict], rows: int) -> None:
    """Print what was found of each kind, whether it was the right item, and what else was."""
    found = {reject["id"]: reject["evidence"]["item"]["line"] for reject in rejects}
    kinds: Counter[str] = Counter(each["kind"] for each in planted)
    hits: Counter[str] = Counter(each["kind"] for each in planted if each["id"] in found)
    right = sum(found.get(each["id"]) == each["item"] for each in planted)
    clean = {each["id"] for each in planted}
    print(f"{rows:,} rows, {rows - len(planted):,} of them clean")
    for kind, count in sorted(kinds.items()):
        print(f"  {kind}: {hits[kind]} of {count} found, {hits[kind] / count:.2%}")
    print(f"  evidence names the planted item: {right} of {sum(hits.values())}")
    print(f"  false alarms: {sum(name not in clean for name in found)}")


if __name__ == "__main__":
    main()
