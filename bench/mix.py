"""Measure the accuracy and cost of seqit mix at scale: bench/mix.py [--rows N].

Three sources of short rows, each with its own lengths; a byte-level BPE trained on some of them.
The tokens of each mixture are summed from counts made independently of seqit, and compared with
the requested shares.
"""

import argparse
import hashlib
import json
import multiprocessing
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from generate import SEED, WORDS, text, word
from run import BENCH, PYTHON, SEQIT, WORK, Cost, run

T = TypeVar("T")
LENGTHS = {"short": (3, 10), "middle": (8, 25), "long": (20, 50)}  # words of the answer
SHARES = {"short": 0.5, "middle": 0.3, "long": 0.2}
OPERATIONS = ("prefix", "prefix", "prefix", "suffix", "decompose", "keep")
STRATA = {"prefix": 0.4, "suffix": 0.3, "decompose": 0.2, "keep": 0.1}
BATCH = 4096


def make(rows: int) -> tuple[dict[str, Path], Path]:
    """Return the sources, with `rows` rows in total, and a tokenizer; created if missing."""
    folder = WORK / f"mix-{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    sources = {name: folder / f"{name}.jsonl" for name in LENGTHS}
    rng = random.Random(SEED)
    words = [word(rng) for _ in range(WORDS)]
    for name, path in sources.items():
        if not path.exists():
            with path.open("w") as file:
                for i in range(rows // len(sources)):
                    value = record(f"{name}{i}", rng, words, LENGTHS[name])
                    file.write(json.dumps(value, separators=(",", ":")) + "\n")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        train_tokenizer(sources["long"], tokenizer)
    return sources, tokenizer


def record(
    name: str, rng: random.Random, words: list[str], length: tuple[int, int]
) -> dict[str, object]:
    return {
        "id": name,
        "instruction": text(rng, words, rng.randint(4, 8)),
        "input": "",
        "output": text(rng, words, rng.randint(*length)),
        "lineage": {
            "root": f"{name}-{rng.randrange(10**9)}",
            "iteration": 1,
            "operation": rng.choice(OPERATIONS),
        },
    }


def train_tokenizer(source: Path, target: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    with source.open("rb") as file:
        lines = [prompt_and_answer(line) for line in islice(file, 5000)]
    trainer = trainers.BpeTrainer(vocab_size=8000, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.save(str(target))


def prompt_and_answer(line: bytes) -> str:
    value = json.loads(line)
    return f"{value['instruction']}\n{value['output']}"


def count_tokens(sources: list[Path], tokenizer: Path, target: Path) -> None:
    """Write the number of tokens of every row by its id."""
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    counts: dict[str, int] = {}
    for lines in batches(sources):
        texts = [prompt_and_answer(line) for line in lines]
        encodings = encoder.encode_batch_fast(texts, add_special_tokens=False)
        for line, encoding in zip(lines, encodings, strict=True):
            counts[json.loads(line)["id"]] = len(encoding)
    target.write_text(json.dumps(counts))


def sum_tokens(paths: list[Path], counts: Path) -> tuple[dict[str, int], dict[str, int], int]:
    """Return the number of tokens by source and by operation, and the number of rows."""
    tokens = json.loads(counts.read_bytes())
    by_source, by_operation, rows = dict.fromkeys(SHARES, 0), dict.fromkeys(STRATA, 0), 0
    for lines in batches(paths):
        for line in lines:
            value = json.loads(line)
            by_source[value["id"].rstrip("0123456789")] += tokens[value["id"]]
            by_operation[value["lineage"]["operation"]] += tokens[value["id"]]
            rows += 1
    return by_source, by_operation, rows


def batches(paths: list[Path]) -> Iterator[list[bytes]]:
    for path in paths:
        with path.open("rb") as file:
            while lines := list(islice(file, BATCH)):
                yield lines


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_process(function: Callable[..., T], *args: object) -> T:
    """Call in a new process, because a measured command starts with the memory of this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def max_error(tokens: dict[str, int], shares: dict[str, float]) -> float:
    """Return the largest difference from a requested share, in percentage points."""
    total = sum(tokens.values())
    return max(abs(tokens[name] / total - share) for name, share in shares.items()) * 100


def print_line(name: str, cost: Cost, floor: Cost, note: str = "") -> None:
    print(
        f"  {name:42} {cost.seconds:8.1f} {cost.seconds / floor.seconds:8.2f}"
        f" {cost.cpu / floor.cpu:12.2f} {cost.memory:8.0f}  {note}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    sources, tokenizer = in_process(make, rows)
    folder = tokenizer.parent
    joined, out = folder / "all.jsonl", folder / "mixture.jsonl"
    if not joined.exists():
        with joined.open("wb") as file:
            subprocess.run(["cat", *sources.values()], stdout=file, check=True)
    floor = run(PYTHON, BENCH / "floor.py", joined)
    print(
        f"{rows:,} rows, {joined.stat().st_size / rows:.0f} bytes each; {floor.seconds:.1f} s floor"
    )
    print(f"  {'':42} {'seconds':>8} {'x floor':>8} {'CPU x floor':>12} {'peak MB':>8}")
    mix = (SEQIT, "mix", "-q", "--seed", 7)

    hashes = set()
    for workers in (1, 2, 3):
        cost = run(*mix, *sources.values(), "--workers", workers, "-o", out)
        hashes.add(in_process(digest, out))
        print_line(f"all of it, shuffled, --workers {workers}", cost, floor)
    print(f"  identical output: {len(hashes) == 1}")

    start = time.perf_counter()
    counts = folder / "counts.json"
    in_process(count_tokens, [*sources.values()], tokenizer, counts)
    print(f"  parse and tokenizer alone: {time.perf_counter() - start:.1f} s", flush=True)
    weighted = [f"{path}={SHARES[name]}" for name, path in sources.items()]
    stratify = "operation=" + ",".join(f"{name}:{share}" for name, share in STRATA.items())
    tokens = rows * 30
    cost = run(*mix, *weighted, "--tokens", tokens, "-o", out)
    by_source, _, _ = in_process(sum_tokens, [out], counts)
    print_line("--tokens, estimated", cost, floor, f"{max_error(by_source, SHARES):.3f} points off")

    exact = (*weighted, "--tokens", tokens, "--tokenizer", tokenizer)
    cost = run(*mix, *exact, "-o", out)
    by_source, _, _ = in_process(sum_tokens, [out], counts)
    off = sum(by_source.values()) - tokens
    print_line(
        "--tokens --tokenizer",
        cost,
        floor,
        f"{max_error(by_source, SHARES):.4f} points, {off} tokens off",
    )

    shards = folder / "shards"
    more = ("--held-out", f"{folder / 'test.jsonl'}=0.02", "--shard-rows", 100_000)
    cost = run(
        *(*mix, *exact, "--stratify", stratify, *more, "--cap", "9x"),
        *("--shard-format", "jsonl", "-o", f"{shards}/"),
    )
    by_source, by_operation, number = in_process(sum_tokens, sorted(shards.glob("*.jsonl")), counts)
    plan = json.loads((shards / "plan.json").read_bytes())
    sizes = [part["rows"] for part in plan["shards"]]
    is_exact = sum(sizes) == number == plan["rows"] and set(sizes[:-1]) <= {100_000}
    note = f"{max_error(by_source, SHARES):.4f} points by source"
    note += f", {max_error(by_operation, STRATA):.4f} by operation; shards exact: {is_exact}"
    print_line("the same, --stratify, --held-out, shards", cost, floor, note)


if __name__ == "__main__":
    main()
