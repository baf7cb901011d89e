"""Write Alpaca-like rows: bench/generate.py ROWS > FILE (about 1.6 KB per row, seeded)."""

import random
import sys

import orjson

SEED = 20261124
WORDS = 20_000


def word(rng: random.Random) -> str:
    return "".join(rng.choices("etaoinshrdlucmfwyp", k=rng.randint(2, 10)))


def text(rng: random.Random, words: list[str], length: int) -> str:
    """Return sentences of five to twenty words, a line break after some of them."""
    parts: list[str] = []
    while length > 0:
        count = min(length, rng.randint(5, 20))
        parts.append(" ".join(rng.choices(words, k=count)).capitalize() + ".")
        parts.append("\n" if rng.random() < 0.15 else " ")
        length -= count
    return "".join(parts).strip()


def main() -> None:
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    for _ in range(int(sys.argv[1])):
        row = {
            "instruction": text(rng, words, rng.randint(8, 40)),
            "input": text(rng, words, rng.randint(10, 120)) if rng.random() < 0.4 else "",
            "output": text(rng, words, rng.randint(60, 320)),
        }
        sys.stdout.buffer.write(orjson.dumps(row) + b"\n")


if __name__ == "__main__":
    main()
