"""Write records with known duplicates: bench/near_duplicates/generate.py ROWS FIELDS TRUTH > FILE.

Of the rows, 3 in 100 are exact copies of an earlier one, 7 in 100 near-duplicates with a Jaccard
index of 0.8 to 0.95, and 4 in 100 near misses of 0.5 to 0.79: word 5-grams of the fields, such as
instruction+input, case folded. The edits are in the last of the fields. TRUTH gets a line for each
of them: {"id", "of", "jaccard", "nearest"}; the row `of` is not itself a copy, and `nearest` is the
largest Jaccard index to any earlier row derived from `of`. Seeded.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))
from generate import SEED, WORDS, text, word

POOL_SIZE = 20_000  # earlier rows that can be copied
Row = dict[str, str]


class Kind(NamedTuple):
    """A kind of inserted rows: its cumulative probability, and the range of its Jaccard index."""

    up_to: float
    low: float
    high: float


KINDS = (Kind(0.03, 1.0, 1.0), Kind(0.10, 0.8, 0.95), Kind(0.14, 0.5, 0.79))


def shingles(row: Row, fields: list[str]) -> set[tuple[str, ...]]:
    """Return the word 5-grams of a row."""
    words = "\n".join(row[field] for field in fields).lower().split()
    return set(zip(*(words[start:] for start in range(5)), strict=False))


def jaccard(one: Row, other: Row, fields: list[str]) -> float:
    """Return the Jaccard index of two rows' 5-grams."""
    first, second = shingles(one, fields), shingles(other, fields)
    return len(first & second) / len(first | second)


def edit(rng: random.Random, original: str, new_word: Callable[[], str]) -> str:
    """Return the text with one word replaced, inserted, deleted, or moved to the end."""
    words = original.split(" ")
    place = rng.choice((0, len(words) - 1, rng.randrange(len(words))))
    match rng.randrange(4):
        case 0:
            words[place] = new_word()
        case 1:
            words.insert(place + rng.randrange(2), new_word())
        case 2 if len(words) > 8:
            del words[place]
        case _:
            words.append(words.pop(place))
    return " ".join(words)


def near_duplicate(
    rng: random.Random, row: Row, fields: list[str], kind: Kind, new_word: Callable[[], str]
) -> Row:
    """Return a row whose Jaccard index to the given one is in a range; a copy if none is found."""
    target = rng.uniform(kind.low, kind.high)
    result = row
    for _ in range(60):
        candidate = result | {fields[-1]: edit(rng, result[fields[-1]], new_word)}
        if (similarity := jaccard(row, candidate, fields)) < kind.low:
            continue
        result = candidate
        if similarity <= target:
            break
    return result


def new_row(rng: random.Random, words: list[str]) -> Row:
    """Return a row with a new text."""
    return {
        "instruction": text(rng, words, rng.randint(8, 40)),
        "input": text(rng, words, rng.randint(10, 120)) if rng.random() < 0.4 else "",
        "output": text(rng, words, rng.randint(60, 320)),
    }


def main() -> None:
    rows, fields, truth = int(sys.argv[1]), sys.argv[2].split("+"), Path(sys.argv[3])
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    pool: list[tuple[str, list[Row]]] = []  # earlier rows, each with the rows derived from it
    with truth.open("wb") as inserted:
        for number in range(rows):
            name, p = f"row{number}", rng.random()
            row = new_row(rng, words)
            kind = next((kind for kind in KINDS if p < kind.up_to), None)
            if kind and pool:
                of, family = rng.choice(pool)
                original = family[0]
                row |= {field: original[field] for field in fields}
                if kind.high < 1:
                    row = near_duplicate(rng, row, fields, kind, lambda: rng.choice(words))
                indices = [jaccard(each, row, fields) for each in family]
                line = {"id": name, "of": of, "jaccard": indices[0], "nearest": max(indices)}
                inserted.write(orjson.dumps(line) + b"\n")
                family.append(row)
            elif row[fields[-1]]:
                pool.append((name, [row]))
                del pool[:-POOL_SIZE]
            lineage = {"root": name, "iteration": 0, "operation": "seed"}
            record = {"id": name, **row, "lineage": lineage}
            sys.stdout.buffer.write(orjson.dumps(record) + b"\n")


if __name__ == "__main__":
    main()
