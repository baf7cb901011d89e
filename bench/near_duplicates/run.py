"""Find planted duplicates with seqit and its peers: bench/near_duplicates/run.py [--rows N].

Prints a table a set of fields: recall of the rows planted at a Jaccard index of 0.8 or more to a
row that stays, precision (a removed row is right where an earlier one is that near), rows a second
of processor time (user and system, all processes and threads), the time that passed, and the
memory of the largest process. A peer runs as its documentation has it and, where it compares no
sets itself, a second time at the goal: bands that find 99 % of the pairs at the threshold, and an
exact comparison of each pair found. The peers' environments are made from their .txt in bench/data.
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
SLOW = {"datasketch": 50_000, "datatrove": 10_000}  # rows; their rates depend little on how many
THRESHOLD = 0.8


class Planted(NamedTuple):
    """A file of records and what is known of it."""

    records: Path
    names: list[str]
    duplicates: set[str]  # of a row that stays
    near_any: set[str]  # these, and near misses that are near another planted row


def environment(name: str) -> Path:
    """Return the python of a peer's environment, made where it is not there."""
    python = WORK / "environments" / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        requirements = HERE / f"{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
    return python


def planted(rows: int, fields: str) -> Planted:
    """Return records with planted duplicates, made once."""
    WORK.mkdir(parents=True, exist_ok=True)
    records, truth = (WORK / f"{what}-{fields}-{rows}.jsonl" for what in ("records", "truth"))
    if not records.exists():
        script = [sys.executable, HERE / "plant.py", str(rows), fields, truth]
        with records.open("wb") as file:
            subprocess.run(script, stdout=file, check=True)
    told = list(map(orjson.loads, truth.read_bytes().splitlines()))
    duplicates, near_any = (
        {row["id"] for row in told if row[key] >= THRESHOLD} for key in ("jaccard", "nearest")
    )
    return Planted(records, names_of(records), duplicates, near_any)


def names_of(path: Path) -> list[str]:
    """Return the ids of a file of records, in order."""
    with path.open("rb") as file:
        return [orjson.loads(line)["id"] for line in file]


def table(fields: str, rows: int, chosen: list[str]) -> None:
    """Run each once and print a line for it."""
    out = WORK / "out.jsonl"
    rule = ("--no-defaults", "-r", f"near-duplicate:fields={fields}")
    print(f"\n{rows:,} rows, {fields}\n")
    print("| | rows/s a core | seconds | recall | precision | peak MB |")
    print("|---|---|---|---|---|---|")
    for name in ("seqit", *chosen):
        data = planted(min(rows, SLOW.get(name, rows)), fields)
        if name == "seqit":
            command = (SEQIT, "filter", "-q", "--workers", 1, *rule, data.records, "-o", out)
            print(line(name, data, run(*command), out), flush=True)
            continue
        command = (environment(name), HERE / f"with_{name}.py", data.records, out, fields)
        for how in ((), ("verified",)) if name in EXACT else ((),):
            print(line(name, data, run(*command, *how), out, *how), flush=True)


def line(name: str, data: Planted, cost: Cost, out: Path, how: str = "as documented") -> str:
    """Return what a contestant did, as a row of the table."""
    if name in EXACT:
        name = f"{name}, {how}"
    removed = set(data.names) - set(names_of(out))
    recall = len(removed & data.duplicates) / len(data.duplicates)
    precision = len(removed & data.near_any) / max(1, len(removed))
    count = len(data.names)
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
        table(fields, options.rows, list(options.peers))


if __name__ == "__main__":
    main()
