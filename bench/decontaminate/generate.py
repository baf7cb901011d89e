"""Write records with inserted items of a benchmark: generate.py ROWS FOLDER [ITEMS].

FOLDER gets bench.jsonl, the benchmark (10,000 items by default); rows.jsonl; and truth.jsonl, a
line for each inserted row: {"id", "item", "kind", "field"}. One row in 100 contains an item
verbatim, with other case, punctuation and spacing; one in 100 contains a lightly edited item: in
each group of up to twelve words, one is changed, added or dropped. Three in ten rows and items
contain a common phrase, of which there is one per 250 items; a quarter of the items, and some rows,
begin with the words of a template. Seeded.
"""

import random
import sys
from pathlib import Path
from typing import NamedTuple

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))
from generate import SEED, WORDS, text, word

TEMPLATE = "Answer the following question by reasoning step by step and give a number"
ITEMS_PER_PHRASE = 75  # that contain the same phrase, about
MIN_EDITED = 8  # words; shorter items are only inserted verbatim
FIELDS = ("instruction", "input", "output")


class Pool(NamedTuple):
    """The source of the texts."""

    rng: random.Random
    words: list[str]
    phrases: list[str]

    def sample_words(self, count: int) -> list[str]:
        return self.rng.choices(self.words, k=count)

    def with_phrase(self, words: list[str]) -> list[str]:
        """Return the words, with a common phrase inserted with probability 0.3."""
        if self.rng.random() >= 0.3:
            return words
        place = self.rng.randrange(len(words) + 1)
        return [*words[:place], *self.rng.choice(self.phrases).split(), *words[place:]]


def item(pool: Pool) -> list[str]:
    """Return the words of a new item; a fifth of the items are shorter than MIN_EDITED."""
    low, high = pool.rng.choice(((4, 7), (8, 15), (8, 15), (16, 80), (16, 80)))
    words = pool.sample_words(pool.rng.randint(low, high))
    if high < MIN_EDITED:
        return words
    words = pool.with_phrase(words)
    return [*TEMPLATE.split(), *words] if pool.rng.random() < 0.25 and len(words) > 12 else words


def row(pool: Pool) -> dict[str, str]:
    """Return a row that contains no item."""
    rng = pool.rng
    instruction = pool.with_phrase(text(rng, pool.words, rng.randint(8, 40)).split(" "))
    if rng.random() < 0.1:
        instruction = [TEMPLATE + ".", *instruction]
    input_ = text(rng, pool.words, rng.randint(10, 120)) if rng.random() < 0.4 else ""
    output = pool.with_phrase(text(rng, pool.words, rng.randint(60, 320)).split(" "))
    return {"instruction": " ".join(instruction), "input": input_, "output": " ".join(output)}


def edit(pool: Pool, words: list[str]) -> list[str]:
    """Return the words with one in each group of twelve changed, added or dropped."""
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


def as_sentence(pool: Pool, words: list[str]) -> str:
    """Return the words as a sentence, with random case, punctuation and spacing."""
    rng = pool.rng
    shown = [each.upper() if rng.random() < 0.1 else each for each in words]
    separators = (" ", " ", " ", " ", ", ", "  ", "\n")
    body = "".join(each + rng.choice(separators) for each in shown[:-1]) + shown[-1]
    return body[:1].upper() + body[1:] + rng.choice("?.!")


def insert(pool: Pool, target: dict[str, str], sentence: str) -> str:
    """Put a sentence into a random field, instead of, before or after its text; return its name."""
    field = pool.rng.choice(FIELDS)
    old = target[field]
    target[field] = pool.rng.choice(
        (sentence, f"{sentence} {old}".strip(), f"{old} {sentence}".strip())
    )
    return field


def main() -> None:
    rows, folder = int(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    phrases = [
        " ".join(rng.choices(words, k=rng.randint(5, 12)))
        for _ in range(count * 3 // 10 // ITEMS_PER_PHRASE)
    ]
    pool = Pool(rng, words, phrases)
    items = [item(pool) for _ in range(count)]
    longer = [number for number, each in enumerate(items) if len(each) >= MIN_EDITED]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bench.jsonl").open("wb") as file:
        for each in items:
            file.write(orjson.dumps({"question": as_sentence(pool, each)}) + b"\n")
    with (folder / "rows.jsonl").open("wb") as file, (folder / "truth.jsonl").open("wb") as truth:
        for number in range(rows):
            name, p, made = f"row{number}", rng.random(), row(pool)
            if p < 0.02:
                kind = "verbatim" if p < 0.01 else "edited"
                index = rng.randrange(count) if kind == "verbatim" else rng.choice(longer)
                inserted = items[index] if kind == "verbatim" else edit(pool, items[index])
                field = insert(pool, made, as_sentence(pool, inserted))
                line = {"id": name, "item": index + 1, "kind": kind, "field": field}
                truth.write(orjson.dumps(line) + b"\n")
            lineage = {"root": name, "iteration": 0, "operation": "seed"}
            file.write(orjson.dumps({"id": name, **made, "lineage": lineage}) + b"\n")


if __name__ == "__main__":
    main()
