"""Find near-duplicates in real text: bench/near_duplicates/real.py, with ../shared/data in place.

FlanCoT by instruction and input; the AlpacaEval outputs of four models by output, alone and
shuffled together with lightly edited copies. The ground truth is an exact comparison of all pairs
that share a rare shingle (Bayardo, Ma and Srikant 2007). A row that passed counts as missed if an
earlier one that passed is a near-duplicate; a removed one is correct if its evidence is.
"""

import json
import math
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from run import SEQIT, run  # noqa: E402

from seqit.filter.dedup.shingles import normalize_words  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
THRESHOLD = 0.8
Row = dict[str, str]


def shingles(row: Row, fields: list[str]) -> frozenset[tuple[bytes, ...]]:
    """Return the shingles that the rule compares."""
    words = normalize_words("\n".join(row[field] for field in fields)).split()
    if len(words) < 5:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(*(words[start:] for start in range(5)), strict=False))


def earlier_duplicates(
    rows: list[Row], fields: list[str]
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Yield each row's id with the earlier rows at the threshold, and their Jaccard indices."""
    sets = {row["id"]: shingles(row, fields) for row in rows}
    frequency = Counter(gram for each in sets.values() for gram in each)
    index: dict[tuple[bytes, ...], list[str]] = {}
    for name, grams in sets.items():
        rarest = sorted(grams, key=lambda gram: (frequency[gram], gram))
        rarest = rarest[: len(grams) - math.ceil(THRESHOLD * len(grams)) + 1]
        candidates = dict.fromkeys(other for gram in rarest for other in index.get(gram, ()))
        found = []
        for other in candidates:
            both = len(grams & sets[other])
            if (jaccard := both / (len(grams) + len(sets[other]) - both)) >= THRESHOLD:
                found.append((other, jaccard))
        yield name, found
        for gram in rarest:
            index.setdefault(gram, []).append(name)


def measure(name: str, rows: list[Row], fields: list[str]) -> None:
    """Filter the rows and print recall and precision."""
    with tempfile.TemporaryDirectory() as folder:
        source, out, rejects = (Path(folder, each) for each in ("rows", "out", "rejects"))
        source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        rule = f"near-duplicate:fields={'+'.join(fields)}"
        command = (SEQIT, "filter", "-q", "--no-defaults", "--workers", 1, "-r", rule, source)
        cost = run(*command, "-o", out, "--rejects", rejects)
        kept = {orjson.loads(line)["id"] for line in out.open("rb")}
        removed = {each["id"]: each["evidence"] for each in map(orjson.loads, rejects.open("rb"))}
    missed = correct = 0
    for row, found in earlier_duplicates(rows, fields):
        if row in removed:
            evidence = removed[row]
            reported = (evidence["duplicate_of"], evidence["jaccard"])
            correct += reported in [(other, round(jaccard, 4)) for other, jaccard in found]
        else:
            missed += any(other in kept for other, _ in found)
    count = len(removed)
    recall = count / (count + missed)
    print(
        f"| {name} | {len(rows):,} | {count:,} | {recall:.4f} | {correct / count:.5f} "
        f"| {len(rows) / cost.cpu:,.0f} |",
        flush=True,
    )


def flancot() -> list[Row]:
    """Return FlanCoT's rows as records, one per id."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        sources = sorted((DATA / "flancot").glob("*.tsv"))
        run(SEQIT, "import", "-q", "--format", "flancot", *sources, "-o", out)
        return list({row["id"]: row for row in map(orjson.loads, out.open("rb"))}.values())


def outputs() -> list[Row]:
    """Return the outputs of all models as records."""
    rows = []
    for file in sorted((DATA / "alpacaeval").glob("*/model_outputs.json")):
        for number, each in enumerate(json.loads(file.read_bytes())):
            rows.append(record(f"{file.parent.name}-{number}", each["instruction"], each["output"]))
    return rows


def record(name: str, instruction: str, output: str) -> Row:
    lineage = {"root": name, "iteration": 0, "operation": "seed"}
    row = {"id": name, "instruction": instruction, "input": "", "output": output}
    return row | {"lineage": lineage}  # type: ignore[return-value]


def with_edited(rows: list[Row], rng: random.Random) -> list[Row]:
    """Return the rows and a copy of each with up to a twentieth of its words changed, shuffled."""
    found = list(rows)
    for row in rows:
        words = row["output"].split(" ")
        for _ in range(rng.randint(0, max(1, len(words) // 20))):
            words[rng.randrange(len(words))] = rng.choice(words)
        found.append(record(f"{row['id']}-edited", row["instruction"], " ".join(words)))
    rng.shuffle(found)
    return found


def main() -> None:
    print("| | rows | removed | recall | precision | rows/s per core |")
    print("|---|---|---|---|---|---|")
    measure("FlanCoT", flancot(), ["instruction", "input"])
    measure("AlpacaEval outputs", outputs(), ["output"])
    measure("the same, edited", with_edited(outputs(), random.Random(0)), ["output"])


if __name__ == "__main__":
    main()
