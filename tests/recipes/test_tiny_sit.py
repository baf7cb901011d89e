"""recipes/tiny-sit, run as a whole in a small size: its tables, equal budgets, and resuming."""

import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = ROOT / "recipes" / "tiny-sit" / "run.sh"
ARMS = ("IT", "separated", "SIT")


def command(out: Path) -> dict:
    env = os.environ | {"SEQIT_ENVIRONMENT": sys.prefix, "OUT": str(out), "SMOKE": "1"}
    return {"args": [str(RECIPE)], "env": env | {"OMP_NUM_THREADS": "1"}, "cwd": out.parent}


def run(out: Path) -> subprocess.CompletedProcess:
    done = subprocess.run(**command(out), capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer made by the recipe's code from a few texts."""
    from transformers import AutoTokenizer

    spec = importlib.util.spec_from_file_location("model", RECIPE.with_name("model.py"))
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    folder = tmp_path_factory.mktemp("tokenizer")
    model.make_tokenizer(["Ada sees Ben.", "BEN sees ADA", "5 + 6 = 11"] * 9, folder)
    return AutoTokenizer.from_pretrained(folder)


@given(text=st.text(alphabet=st.sampled_from('aB "[]\n.-7é中')) | st.text())
def test_the_tokenizer_decodes_to_the_same_text(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.parametrize("text", ["Ben", "\nBen", '"Ben"', "[Ben]", "Ada sees Ben", "1\n\nBen"])
def test_a_word_is_one_token_in_every_position(tokenizer, text):
    (ben,) = tokenizer("Ben", add_special_tokens=False).input_ids
    assert ben in tokenizer(text, add_special_tokens=False).input_ids


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def digests(out: Path) -> dict[str, str]:
    """Return the hash of every file."""
    files = (file for file in sorted(out.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-sit") / "out"
    run(folder)
    return folder


def test_the_results_have_every_arm_and_length(out):
    report = (out / "README.md").read_text()
    following = (out / "following.md").read_text()
    for arm in ARMS:
        assert arm in following
    for picture in ("following.svg", "steps.svg"):
        assert f"({picture})" in report
        assert (out / picture).read_text().count("<svg") == 1
    assert following in report and (out / "lineage.md").read_text() in report
    lineage = (out / "lineage.md").read_text().splitlines()
    trained = {row["id"] for row in rows(out / "mixture-SIT-1.jsonl")}
    assert len(lineage) == 5 and all(any(i in line for i in trained) for line in lineage[2:])
    scores = [score for score in rows(out / "scores.jsonl") if "control" not in score]
    keys = {(s["model"], s["benchmark"], s["chain"]) for s in scores if s["metric"] == "following"}
    lengths = {"seen": range(1, 6), "unseen": range(2, 6)}
    assert keys == {(a, split, n) for a in ARMS for split, all_n in lengths.items() for n in all_n}
    assert all(score["status"] == "scored" and score["training"] for score in scores)


def test_roots_and_combinations_of_the_items_are_not_trained_on(out):
    def pairs(row):
        return set(pairwise(step["name"] for step in row["steps"]))

    trained = rows(out / "train.jsonl")
    roots = {name: {r["lineage"]["root"] for r in rows(out / f"{name}-1.jsonl")} for name in
             ("base", "train", "test")}  # fmt: skip
    assert not roots["base"] & roots["train"] and not roots["test"] & roots["train"]
    assert not roots["base"] & roots["test"]
    assert {row["lineage"]["root"] for row in trained} <= roots["train"]
    trained_pairs = set().union(*map(pairs, trained))
    assert max(len(row["steps"]) for row in trained) == 4
    unseen, seen = rows(out / "items-unseen.jsonl"), rows(out / "items-seen.jsonl")
    assert all(pairs(row) - trained_pairs for row in unseen)
    held_out = set().union(*map(pairs, rows(out / "test-unseen.jsonl"))) - trained_pairs
    assert not any(pairs(row) & held_out for row in seen)
    assert {row["lineage"]["root"] for row in (*unseen, *seen)} <= roots["test"]


def test_every_arm_has_the_same_budget(out):
    tokens = {}
    for arm in ARMS:
        provenance = json.loads((out / "models" / f"{arm}-1" / "training.json").read_text())
        assert provenance["steps"] == 5
        tokens[arm] = provenance["tokens"]
    assert max(tokens.values()) <= 5 * 1024
    assert min(tokens.values()) > 0.95 * max(tokens.values()), tokens


def test_a_finished_run_is_not_repeated(out):
    before = digests(out)
    done = run(out)
    assert digests(out) == before
    assert "trained" not in done.stderr


def test_a_run_killed_at_any_point_can_be_continued(out, tmp_path):
    rng = random.Random(3)
    for _ in range(3):
        process = subprocess.Popen(
            **command(tmp_path / "out"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(rng.uniform(5, 50))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    run(tmp_path / "out")
    for name in ("train.jsonl", "mixture-SIT-1.jsonl", "following.md", "steps.md", "steps.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes(), name
