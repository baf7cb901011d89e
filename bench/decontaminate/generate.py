"""Write records with planted items of a benchmark: generate.py ROWS FOLDER [ITEMS].

FOLDER gets bench.jsonl, the benchmark (10,000 items by default); rows.jsonl; and truth.jsonl, a
line for each planted row: {"id", "item", "kind", "field"}. One row in 100 holds an item verbatim,
in other case, punctuation and spacing; one in 100 holds one lightly edited: of each twelve words
begun, one is changed, added or dropped. Three rows in ten, and as many items, hold a phrase of
which there is one for 250 items; a quarter of the items, and some rows, begin with a template's
words. Seeded.
"""

import random
import sys
from pathlib import Path
from typing import NamedTuple

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))
from generate import SEED, WORDS, text, word

TEMPLATE = "Answer the following question by reasoning step by step and give a number"
SHARING = 75  # items that hold the same phrase, about
SHORT = 8  # words of an item below which it is planted verbatim alone
FIELDS = ("instruction", "input", "output")


class Pool(NamedTuple):
    """Where the texts come from."""

    rng: random.Random
    words: list[str]
    phrases: list[str]

    def words_of(self, count: int) -> list[str]:
        return self.rng.choices(self.words, k=count)

    def with_phrase(self, given: list[str]) -> list[str]:
        """Return the words with a common phrase among them, three times in ten."""
        if self.rng.random() >= 0.3:
            return given
        place = self.rng.randrange(len(given) + 1)
        return [*given[:place], *self.rng.choice(self.phrases).split(), *given[place:]]


def item(pool: Pool) -> list[str]:
    """Return the words of a new item: a fifth are shorter than SHORT, half longer than 15."""
    least, most = pool.rng.choice(((4, 7), (8, 15), (8, 15), (16, 80), (16, 80)))
    words = pool.words_of(pool.rng.randint(least, most))
    if most < SHORT:
        return words
    words = pool.with_phrase(words)
    return [*TEMPLATE.split(), *words] if pool.rng.random() < 0.25 and len(words) > 12 else words


def row(pool: Pool) -> dict[str, str]:
    """Return a row that holds no item."""
    rng = pool.rng
    instruction = pool.with_phrase(text(rng, pool.words, rng.randint(8, 40)).split(" "))
    if rng.random() < 0.1:
        instruction = [TEMPLATE + ".", *instruction]
    given = text(rng, pool.words, rng.randint(10, 120)) if rng.random() < 0.4 else ""
    output = pool.with_phrase(text(rng, pool.words, rng.randint(60, 320)).split(" "))
    return {"instruction": " ".join(instruction), "input": given, "output": " ".join(output)}


def edited(pool: Pool, words: list[str]) -> list[str]:
    """Return the words with one in each twelve begun changed, added or dropped."""
    words = list(words)
    for start in range(0, len(words), 12):
        place = min(len(words) - 1, start + pool.rng.randrange(12))
        match pool.rng.randrange(3):
            case 0:
                words[place] = pool.rng.choice(pool.words)
            case 1:
                words.insert(place, pool.rng.choice(pool.words))
            case _:
                del words[place]
    return words


def set_otherwise(pool: Pool, words: list[str]) -> str:
    """Return the words as a sentence, with another case, punctuation and spacing than the item."""
    rng = pool.rng
    shown = [each.upper() if rng.random() < 0.1 else each for each in words]
    signs = (" ", " ", " ", " ", ", ", "  ", "\n")
    body = "".join(each + rng.choice(signs) for each in shown[:-1]) + shown[-1]
    return body[:1].upper() + body[1:] + rng.choice("?.!")


def plant(pool: Pool, given: dict[str, str], sentence: str) -> str:
    """Put a sentence into a field: as all of it, or before or after what is there."""
    field = pool.rng.choice(FIELDS)
    there = given[field]
    given[field] = pool.rng.choice(
        (sentence, f"{sentence} {there}".strip(), f"{there} {sentence}".strip())
    )
    return field


def main() -> None:
    rows, folder = int(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    phrases = [
        " ".join(rng.choices(words, k=rng.randint(5, 12)))
        for _ in range(count * 3 // 10 // SHARING)
    ]
    pool = Pool(rng, words, phrases)
    items = [item(pool) for _ in range(count)]
    longer = [number for number, each in enumerate(items) if len(each) >= SHORT]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bench.jsonl").open("wb") as file:
        for each in items:
            file.write(orjson.dumps({"question": set_otherwise(pool, each)}) + b"\n")
    with (folder / "rows.jsonl").open("wb") as file, (folder / "truth.jsonl").open("wb") as truth:
        for number in range(rows):
            name, lot, made = f"row{number}", rng.random(), row(pool)
            if lot < 0.02:
                kind = "verbatim" if lot < 0.01 else "edited"
                of = rng.randrange(count) if kind == "verbatim" else rng.choice(longer)
                held = items[of] if kind == "verbatim" else edited(pool, items[of])
                field = plant(pool, made, set_otherwise(pool, held))
                told = {"id": name, "item": of + 1, "kind": kind, "field": field}
                truth.write(orjson.dumps(told) + b"\n")
            lineage = {"root": name, "iteration": 0, "operation": "seed"}
            file.write(orjson.dumps({"id": name, **made, "lineage": lineage}) + b"\n")


if __name__ == "__main__":
    main()
