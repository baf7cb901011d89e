"""Find inserted duplicates with seqit and its peers: bench/near_duplicates/run.py [--rows N].

Prints a table per set of fields: recall of the rows inserted at a Jaccard index of 0.8 or more to a
row that is kept, precision (a removed row is correct if an earlier one is that near), rows per
second of processor time (user and system, all processes and threads), elapsed time, and the memory
of the largest process. A peer runs as documented and, if it does not compare sets itself, a second
time at the goal: bands that find 99 % of the pairs at the threshold, and an exact comparison of
each pair found. The peers' environments are created in bench/data from their .txt files.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import orjson

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from run import SEQIT, Cost, run  # noqa: E402

WORK = HERE.parent / "data" / "near-duplicates"
PEERS = ("datasketch", "rensa", "gaoya", "datatrove")
EXACT = ("datasketch", "rensa", "gaoya")
SLOW = {"datasketch": 50_000, "datatrove": 10_000}  # rows; the rates hardly depend on them
THRESHOLD = 0.8


class Generated(NamedTuple):
    """A file of records and its ground truth."""

    records: Path
    ids: list[str]
    duplicates: set[str]  # of a row that is kept
    near_any: set[str]  # these, and near misses that are near another inserted row


def environment(name: str) -> Path:
    """Return the python of a peer's environment, created if missing."""
    python = WORK / "environments" / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        requirements = HERE / f"{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
    return python


def make_rows(rows: int, fields: str) -> Generated:
    """Return records with inserted duplicates, created if missing."""
    WORK.mkdir(parents=True, exist_ok=True)
    records, truth = (WORK / f"{what}-{fields}-{rows}.jsonl" for what in ("records", "truth"))
    if not records.exists():
        script = [sys.executable, HERE / "generate.py", str(rows), fields, truth]
        with records.open("wb") as file:
            subprocess.run(script, stdout=file, check=True)
    lines = list(map(orjson.loads, truth.read_bytes().splitlines()))
    duplicates, near_any = (
        {row["id"] for row in lines if row[key] >= THRESHOLD} for key in ("jaccard", "nearest")
    )
    return Generated(records, read_ids(records), duplicates, near_any)


def read_ids(path: Path) -> list[str]:
    """Return the ids of a file of records, in order."""
    with path.open("rb") as file:
        return [orjson.loads(line)["id"] for line in file]


def print_table(fields: str, rows: int, peers: list[str]) -> None:
    """Run seqit and each peer once and print a line for each."""
    out = WORK / "out.jsonl"
    rule = ("--no-defaults", "-r", f"near-duplicate:fields={fields}")
    print(f"\n{rows:,} rows, {fields}\n")
    print("| | rows/s per core | seconds | recall | precision | peak MB |")
    print("|---|---|---|---|---|---|")
    for name in ("seqit", *peers):
        data = make_rows(min(rows, SLOW.get(name, rows)), fields)
        if name == "seqit":
            command = (SEQIT, "filter", "-q", "--workers", 1, *rule, data.records, "-o", out)
            print(line(name, data, run(*command), out), flush=True)
            continue
        command = (environment(name), HERE / f"with_{name}.py", data.records, out, fields)
        for mode in ((), ("verified",)) if name in EXACT else ((),):
            print(line(name, data, run(*command, *mode), out, *mode), flush=True)


def line(name: str, data: Generated, cost: Cost, out: Path, mode: str = "as documented") -> str:
    """Return the results of one program as a row of the table."""
    if name in EXACT:
        name = f"{name}, {mode}"
    removed = set(data.ids) - set(read_ids(out))
    recall = len(removed & data.duplicates) / len(data.duplicates)
    precision = len(removed & data.near_any) / max(1, len(removed))
    count = len(data.ids)
    note = f" ({count:,} rows)" if name.partition(",")[0] in SLOW else ""
    return (
        f"| {name}{note} | {count / cost.cpu:,.0f} | {cost.seconds:.1f} | {recall:.4f} "
        f"| {precision:.5f} | {cost.memory:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument(
        "--fields",
        nargs="+",
        metavar="FIELDS",
        default=["instruction+input", "instruction+input+output"],
    )
    options = parser.parse_args()
    for fields in options.fields:
        print_table(fields, options.rows, list(options.peers))


if __name__ == "__main__":
    main()
