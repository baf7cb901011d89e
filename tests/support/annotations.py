"""Annotations as AlpacaEval publishes them, and the reference of its length-controlled rate."""

import csv
from pathlib import Path
from typing import Any

import pytest

from seqit.scores.stats.length_controlled import JudgedPair, Reference
from seqit.scores.stats.logistic import logistic

np = pytest.importorskip("numpy", reason="seqit[stats] is not installed")


def annotation(n: int, preference: Any, **other: Any) -> dict[str, Any]:
    row = {
        "instruction": f"Name {n} birds.",
        "output_1": "Wren, owl and robin." * (n % 3 + 1),
        "generator_1": "baseline",
        "output_2": "An owl." * (n % 4 + 1),
        "generator_2": "model",
        "annotator": "a judge",
        "preference": preference,
    }
    return row | other


def short_model(n: int = 300, seed: int = 3) -> tuple[list[JudgedPair], Reference, float]:
    """Return judged pairs of a model with short answers, the reference, and its win rate in %.

    The win rate is the one at equal length; short answers lose some wins.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1, n)
    model = rng.integers(100, 900, n)
    baseline = rng.integers(600, 2500, n)
    difference = (baseline - model) / (baseline - model).std(ddof=1)
    shares = logistic(-1.5 * np.tanh(difference) + 0.8 * difficulty - 0.4)
    rows = [
        JudgedPair(1 + float(share), int(b), int(m))
        for share, b, m in zip(shares, baseline, model, strict=True)
    ]
    length = rng.normal(0, 1, 2 * n)
    index = np.tile(np.arange(n), 2)
    variants = logistic(-1.5 * np.tanh(length) + 0.8 * difficulty[index])
    truth = float(100 * logistic(0.8 * difficulty - 0.4).mean())
    return rows, Reference(difficulty, np.stack([index, variants, length], axis=1)), truth


def write_reference(path: Path, reference: Reference) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ["std_delta_len", "preference", "index", "instruction_difficulty", "model"]
        writer.writerow(names)
        for index, share, length in reference.variants:
            difficulty = reference.difficulty[int(index)]
            writer.writerow([length, share, int(index), difficulty, "verbose"])
    return str(path)
