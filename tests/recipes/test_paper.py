"""The recipes of the paper's experiments, run with tiny models and a scripted teacher."""

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
METRICS = {
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
    """Return the arguments of subprocess.run that start a recipe."""
    script, *arguments = RECIPES[name]
    env = os.environ | {"SEQIT_ENVIRONMENT": sys.prefix, "OUT": str(out), "HOME": str(out.parent)}
    return {"args": [str(FOLDER / script), *arguments], "env": env | settings, "cwd": out.parent}


def run(name: str, out: Path, **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        **command(name, out, **settings), capture_output=True, text=True, timeout=500
    )


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    """Return the folder of a finished run of a recipe; each recipe is run once."""
    folders = {}

    def out(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "out"
            done = run(name, folders[name], SMOKE="1")
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            tables = [path.read_text() for path in sorted((folders[name] / "tables").iterdir())]
            assert all(table in done.stdout for table in tables)
        return folders[name]

    return out


def same_process(recipe: str) -> pytest.MarkDecorator:
    """Mark a test for the process that has run the recipe, if tests run in several."""
    return pytest.mark.xdist_group(f"recipes/paper {recipe}")


@pytest.fixture(params=[pytest.param(each, marks=same_process(each)) for each in RECIPES])
def name(request):
    return request.param


def table(out: Path, name: str) -> list[list[str]]:
    """Return the cells of a table, the header first."""
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


def test_all_models_have_all_metrics(name, outs):
    header, *rows = table(outs(name), "scores")
    assert header == ["model", *METRICS[name]]
    assert [row[0] for row in rows] == MODELS[name]
    for row in rows:
        numbers = dict(zip(header, row, strict=True))
        if row[0] == MODELS[name][0]:
            numbers.pop("alpacaeval win, %", None)  # the baseline is not compared with itself
        assert all(numbers[each][0].isdigit() for each in METRICS[name] if each in numbers), row


def test_the_counts_of_every_manifest_add_up(name, outs):
    paths = sorted((outs(name) / "stats").glob("*.json"))
    assert len(paths) > 15
    for path in paths:
        stats = json.loads(path.read_bytes())
        outcomes = ("written", "held_out", "rejected", "failed", "merged")
        assert stats["complete"], path
        total = sum(stats.get(key, 0) for key in outcomes)
        assert stats["read"] + stats.get("added", 0) == total, path
        assert stats["failed"] == 0, path
        rejects = path.with_suffix(".rejects.jsonl").read_bytes().splitlines()
        assert len(rejects) == stats["rejected"], path


def test_a_second_run_changes_no_file(name, outs):
    out = outs(name)
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    done = run(name, out, SMOKE="1")
    assert done.returncode == 0, done.stderr
    assert "seqit " not in done.stderr  # no step is run
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


@same_process("alpaca")
def test_duplicates_and_benchmark_items_are_filtered(outs):
    rejected = table(outs("alpaca"), "lost")
    assert ["filter", "exact-duplicate", "duplicate", "1"] in rejected
    assert ["filter", "decontaminate", "item", "1"] in rejected


@same_process("alpaca")
def test_chains_are_extended_and_separated(outs):
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


@same_process("multilingual")
def test_each_language_has_its_rows(outs):
    out = outs("multilingual")
    rows = {}
    for model in MODELS["multilingual"]:
        lines = (out / "train" / f"{model}.jsonl").read_bytes().splitlines()
        rows[model] = [json.loads(line) for line in lines]
    translated = [row for row in rows["single-turn"] if row["lineage"]["operation"] == "translate"]
    sources = [row["metadata"]["translation"]["source"] for row in translated]
    assert {code: sources.count(code) for code in sources} == dict.fromkeys(
        ("de", "zh", "ru", "es"), 3
    )
    roots = {model: sorted(row["lineage"]["root"] for row in rows[model]) for model in rows}
    placebos = [row["lineage"]["operation"] for row in rows["placebo"]]
    assert (placebos.count("repeat"), placebos.count("paraphrase")) == (2, 6)
    assert roots["single-turn"] == roots["it"]  # the same seeds


@same_process("alpaca")
def test_a_run_that_is_killed_several_times_gives_the_same_results(outs, tmp_path):
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
    ("recipe", "file", "url"),
    [
        ("alpaca", "alpaca_data_cleaned.json", "huggingface.co/datasets/yahma/alpaca-cleaned"),
        ("flancot", "cot_data.jsonl", "github.com/allenai/open-instruct"),
        ("multilingual", "alpaca_data_cleaned.en.json", "github.com/hplt-project/"),
        ("visual", "vqav2/train.jsonl", "visualqa.org"),
    ],
)
def test_missing_data_is_named_with_its_url(recipe, file, url, tmp_path):
    done = run(recipe, tmp_path / "out", DATA=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path / file} is missing; get it from https://{url}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_data_set_is_a_usage_error(tmp_path):
    done = subprocess.run(
        [FOLDER / "seq-instruct.sh", "dolly"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (2, "usage: seq-instruct.sh alpaca|flancot\n")
