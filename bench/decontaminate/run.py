"""Find inserted items of a benchmark: bench/decontaminate/run.py [--rows N] [--items N].

Prints the recall of items inserted verbatim and lightly edited, the false positives among the other
rows, and the cost next to the same command with a rule that does nothing, one process each.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import orjson

BENCH = Path(__file__).parents[1]
sys.path.insert(0, str(BENCH))
from run import PYTHON, SEQIT, WORK, run  # noqa: E402


def read_lines(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=10_000)
    options = parser.parse_args()
    folder = WORK / f"decontaminate-{options.rows}-{options.items}"
    if not folder.exists():
        run(PYTHON, Path(__file__).parent / "generate.py", options.rows, folder, options.items)
    rows, rejects = folder / "rows.jsonl", folder / "rejects.jsonl"
    command = (SEQIT, "filter", "-q", "--no-defaults", "--workers", 1)
    rule = ("--rule", f"decontaminate:against={folder / 'bench.jsonl'}")
    run(*command, *rule, "--rejects", rejects, rows)
    show(read_lines(folder / "truth.jsonl"), read_lines(rejects), options.rows)
    start = run(*command, *rule, "/dev/null")
    floor, cost = run(*command, "--rule", "keep", rows), run(*command, *rule, rows)
    seconds = cost.cpu - start.cpu
    print(f"  index of {options.items:,} items: {start.cpu:.2f} s, {start.memory:.0f} MB at most")
    ratio = seconds / floor.cpu
    print(f"  {options.rows / seconds:,.0f} rows/s of one core's time, {ratio:.2f} times the")
    print(f"  same filter with the rule 'keep' ({options.rows / floor.cpu:,.0f} rows/s)")


def show(inserted: list[dict], rejects: list[dict], rows: int) -> None:
    """Print the recall by kind, whether the evidence names the right item, and false positives."""
    found = {reject["id"]: reject["evidence"]["item"]["line"] for reject in rejects}
    kinds: Counter[str] = Counter(each["kind"] for each in inserted)
    hits: Counter[str] = Counter(each["kind"] for each in inserted if each["id"] in found)
    correct = sum(found.get(each["id"]) == each["item"] for each in inserted)
    inserted_ids = {each["id"] for each in inserted}
    print(f"{rows:,} rows, {rows - len(inserted):,} of them clean")
    for kind, count in sorted(kinds.items()):
        print(f"  {kind}: {hits[kind]} of {count} found, {hits[kind] / count:.2%}")
    print(f"  evidence names the inserted item: {correct} of {sum(hits.values())}")
    print(f"  false positives: {sum(name not in inserted_ids for name in found)}")


if __name__ == "__main__":
    main()
