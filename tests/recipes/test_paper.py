"""The recipes of the paper's experiments, whole, with tiny models and a scripted teacher."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDER = ROOT / "recipes" / "paper"
RECIPES = {
    "alpaca": ("seq-instruct.sh", "alpaca"),
    "flancot": ("seq-instruct.sh", "flancot"),
    "multilingual": ("multilingual.sh",),
    "visual": ("visual.sh",),
}
MODELS = {
    "alpaca": ["it", "sit-2"],
    "flancot": ["it", "sit-2"],
    "multilingual": ["it", "single-turn", "placebo"],
    "visual": ["base", "describe", "merged"],
}
MEASURES = {
    "alpaca": [
        *("alpacaeval quality", "alpacaeval win, %", "gsm8k accuracy, %", "humaneval pass, %"),
        *("humaneval pass@1, %", "humaneval pass@10, %"),
        *("seqeval following, %", "seqeval quality"),
    ],
    "flancot": ["gsm8k accuracy, %", "seqeval following, %", "seqeval quality"],
    "multilingual": ["mgsm accuracy, %", "xquad-translated em, %", "xquad-translated f1, %"],
    "visual": ["gqa-described accuracy, %", "vqa accuracy, %"],
}


def command(name: str, out: Path, **settings: str) -> dict:
    """Return what starts a recipe, as arguments of subprocess.run."""
    script, *arguments = RECIPES[name]
    env = os.environ | {"SEQIT_ENVIRONMENT": sys.prefix, "OUT": str(out), "HOME": str(out.parent)}
    return {"args": [str(FOLDER / script), *arguments], "env": env | settings, "cwd": out.parent}


def run(name: str, out: Path, **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        **command(name, out, **settings), capture_output=True, text=True, timeout=500
    )


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    """Folders of finished runs by recipe, each run once."""
    found = {}

    def out(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name) / "out"
            done = run(name, found[name], SMOKE="1")
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            shown = [path.read_text() for path in sorted((found[name] / "tables").iterdir())]
            assert all(table in done.stdout for table in shown)
        return found[name]

    return out


@pytest.fixture(params=RECIPES)
def name(request):
    return request.param


def table(out: Path, name: str) -> list[list[str]]:
    """Return the cells of a table, the head first."""
    lines = (out / "tables" / f"{name}.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [rows[0], *rows[2:]]


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_all_models_are_measured_by_all_measures(name, outs):
    head, *rows = table(outs(name), "scores")
    assert head == ["model", *MEASURES[name]]
    assert [row[0] for row in rows] == MODELS[name]
    for row in rows:
        numbers = dict(zip(head, row, strict=True))
        if row[0] == MODELS[name][0]:
            numbers.pop("alpacaeval win, %", None)  # nobody wins over itself
        assert all(numbers[each][0].isdigit() for each in MEASURES[name] if each in numbers), row


def test_every_account_balances(name, outs):
    all_stats = sorted((outs(name) / "accounts").glob("*.json"))
    assert len(all_stats) > 15
    for path in all_stats:
        told = json.loads(path.read_bytes())
        gone = ("written", "held_out", "rejected", "failed", "merged")
        assert told["complete"], path
        assert told["read"] + told.get("added", 0) == sum(told.get(key, 0) for key in gone), path
        assert told["failed"] == 0, path
        rejects = path.with_suffix(".rejects.jsonl").read_bytes().splitlines()
        assert len(rejects) == told["rejected"], path


def test_the_same_command_again_changes_nothing(name, outs):
    out = outs(name)
    before = contents(out)
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    done = run(name, out, SMOKE="1")
    assert done.returncode == 0, done.stderr
    assert "seqit " not in done.stderr  # no step is taken
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_duplicates_and_items_of_benchmarks_are_gone(outs):
    lost = table(outs("alpaca"), "lost")
    assert ["filter", "exact-duplicate", "duplicate", "1"] in lost
    assert ["filter", "decontaminate", "item", "1"] in lost


def test_chains_are_chained_on_and_separated(outs):
    rows = {}
    for path in (outs("alpaca") / "data").glob("*.jsonl"):
        rows[path.stem] = [json.loads(line) for line in path.read_bytes().splitlines()]
    roots = [row["id"] for row in rows["it"]]
    for each in ("it-regenerated", "sit-1", "sit-2", "sit-3", "sit-4", "wizardlm"):
        assert [row["lineage"]["root"] for row in rows[each]] == roots, each
    lengths = [sum(len(row.get("steps", [0])) for row in rows[f"sit-{n}"]) for n in (1, 2, 3, 4)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]
    assert len(rows["separated"]) == lengths[1]
    answers = {row["lineage"]["root"]: row["output"] for row in rows["it-regenerated"]}
    kept = [row for row in rows["sit-4"] if row["lineage"]["operation"] == "keep"]
    assert kept and all(row["output"] == answers[row["lineage"]["root"]] for row in kept)
    assert all(row["lineage"].get("teacher") == "openai:scripted" for row in rows["separated"])


def test_each_language_has_its_rows(outs):
    out = outs("multilingual")
    found = {}
    for model in MODELS["multilingual"]:
        lines = (out / "train" / f"{model}.jsonl").read_bytes().splitlines()
        found[model] = [json.loads(line) for line in lines]
    made = [row for row in found["single-turn"] if row["lineage"]["operation"] == "translate"]
    sources = [row["metadata"]["translation"]["source"] for row in made]
    assert {code: sources.count(code) for code in sources} == dict.fromkeys(
        ("de", "zh", "ru", "es"), 3
    )
    roots = {model: sorted(row["lineage"]["root"] for row in found[model]) for model in found}
    placebos = [row["lineage"]["operation"] for row in found["placebo"]]
    assert (placebos.count("repeat"), placebos.count("paraphrase")) == (2, 6)
    assert roots["single-turn"] == roots["it"]  # the same rows, but for the chains


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_tables(outs, tmp_path):
    out = tmp_path / "out"
    rng = random.Random()
    for _ in range(3):
        process = subprocess.Popen(
            **command("alpaca", out, SMOKE="1"), stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(rng.uniform(2, 40))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = run("alpaca", out, SMOKE="1")
    assert done.returncode == 0, done.stderr
    for folder in ("tables", "data", "train"):
        assert contents(out / folder) == contents(outs("alpaca") / folder)
    for model in MODELS["alpaca"]:
        weights = [each / "models" / model / "model.safetensors" for each in (out, outs("alpaca"))]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    ("recipe", "file", "where"),
    [
        ("alpaca", "alpaca_data_cleaned.json", "huggingface.co/datasets/yahma/alpaca-cleaned"),
        ("flancot", "cot_data.jsonl", "github.com/allenai/open-instruct"),
        ("multilingual", "alpaca_data_cleaned.en.json", "github.com/hplt-project/"),
        ("visual", "vqav2/train.jsonl", "visualqa.org"),
    ],
)
def test_missing_data_is_named(recipe, file, where, tmp_path):
    done = run(recipe, tmp_path / "out", DATA=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path / file} is missing; get it from https://{where}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_set_that_is_not_known_is_a_wrong_use(tmp_path):
    done = subprocess.run(
        [FOLDER / "seq-instruct.sh", "dolly"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (2, "usage: seq-instruct.sh alpaca|flancot\n")
