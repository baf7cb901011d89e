"""A run that is killed and resumed gives the same result as an uninterrupted one, bit for bit."""

import json
import os
import random
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

if not all(map(find_spec, ("torch", "transformers", "deepspeed", "peft"))):
    pytest.skip("seqit[train] is not installed", allow_module_level=True)

from support.tiny_model import make_model
from support.training import (
    curve,
    error_messages,
    kill_ranks,
    logs,
    make_recipe,
    metrics,
    random_rows,
    start_ranks,
    train,
    trained_weights,
    write_prepared,
)

from seqit.train.loop import checkpoints
from seqit.train.recipe import Lora

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model"), write_prepared(folder / "tokens", random_rows(125))


def same_weights(one, other):
    import torch

    first, second = trained_weights(one), trained_weights(other)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def names(recipe):
    return sorted(path.name for path in (Path(recipe.output) / "checkpoints").iterdir())


def steps_written(recipe):
    path = Path(recipe.output) / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_one(recipe, ranks, rng):
    """Kill one rank at a random time in the next few steps; return False if it ended before."""
    target = steps_written(recipe) + rng.randint(1, 4)
    pause = rng.random() * 0.05
    while all(rank.is_alive() for rank in ranks) and steps_written(recipe) < target:
        time.sleep(0.002)
    time.sleep(pause)
    victim = rng.choice(ranks)
    if not all(rank.is_alive() for rank in ranks):
        return False
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    kill_ranks(ranks)
    return victim.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", [2, 3])
def test_after_ten_kills_the_curve_and_the_weights_are_those_of_an_uninterrupted_run(
    base, tmp_path, stage
):
    """Ten kills per stage, of either rank, during steps and during checkpoints."""
    rng = random.Random(stage)
    settings = {"max_steps": 48, "zero": stage, "every": 2, "batch_size": 6, "weight_decay": 0.1}
    uninterrupted = make_recipe(*base, tmp_path / "uninterrupted", **settings)
    assert train(uninterrupted, 2) == [0, 0], logs(uninterrupted)
    killed = make_recipe(*base, tmp_path / "killed", **settings)
    kills = 0
    while kills < 10:
        ranks = start_ranks(killed, 2)
        kills += kill_one(killed, ranks, rng)
        assert all(rank.exitcode != 0 for rank in ranks), "the run has ended too early"
    assert train(killed, 2) == [0, 0], logs(killed)
    assert curve(killed) == curve(uninterrupted) and len(curve(uninterrupted)) == 48
    assert same_weights(killed, uninterrupted)
    assert len(names(killed)) == 2


@pytest.mark.parametrize("stages", [(2, 0, 3), (3, 1, 2)])
def test_a_run_resumes_on_another_number_of_ranks_and_back(base, tmp_path, stages):
    """Also with another ZeRO stage: checkpoints depend on neither."""
    uninterrupted = make_recipe(*base, tmp_path / "uninterrupted", max_steps=9)
    assert train(uninterrupted, 1) == [0], logs(uninterrupted)
    moved = None
    for part, (ranks, stage) in enumerate(zip((2, 1, 2), stages, strict=True)):
        moved = make_recipe(*base, tmp_path / "moved", max_steps=9, zero=stage, every=3)
        assert train(moved, ranks) == [0] * ranks, logs(moved)
        if part < 2:  # as if it had been killed before step 4, and before step 7
            for name in names(moved):
                if int(name.removeprefix("step-")) > 3 * (part + 1):
                    shutil.rmtree(tmp_path / "moved" / "checkpoints" / name)
    for actual, expected in zip(curve(moved), curve(uninterrupted), strict=True):
        assert actual == pytest.approx(expected, rel=3e-5)
    first, second = trained_weights(moved), trained_weights(uninterrupted)
    assert all((first[name] - second[name]).abs().max() < 2e-5 for name in first)


def test_a_resumed_run_has_the_same_dropout(base, tmp_path):
    """The random numbers depend only on the step, so no generator state has to be saved."""
    lora = Lora(rank=4, dropout=0.3)
    settings = {"max_steps": 6, "every": 3, "lora": lora, "save_total_limit": 5}
    uninterrupted = make_recipe(*base, tmp_path / "uninterrupted", **settings)
    assert train(uninterrupted, 1) == [0], logs(uninterrupted)
    resumed = make_recipe(*base, tmp_path / "resumed", **settings)
    shutil.copytree(tmp_path / "uninterrupted", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-00000006")
    assert train(resumed, 1) == [0], logs(resumed)
    assert "resumes after step 3 of 6" in logs(resumed)
    assert curve(resumed) == curve(uninterrupted) and same_weights(resumed, uninterrupted)


def test_a_corrupt_or_incomplete_checkpoint_is_skipped(base, tmp_path):
    recipe = make_recipe(*base, tmp_path, max_steps=8, every=2, save_total_limit=9)
    assert train(recipe, 1) == [0], logs(recipe)
    uninterrupted, final = curve(recipe), trained_weights(recipe)
    folder = tmp_path / "checkpoints"
    (state,) = (folder / "step-00000008").glob("*.safetensors")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    state.write_bytes(content)
    (folder / "step-00000006" / "complete.json").unlink()
    (folder / ".step-00000010.partial").mkdir()
    assert train(recipe, 1) == [0], logs(recipe)
    log = logs(recipe)
    assert f"the checkpoint {folder}/step-00000008 is corrupt: {state.name} has changed" in log
    assert f"{folder}/step-00000006 is incomplete: complete.json is missing; it is skipped" in log
    assert "resumes after step 4 of 8" in log
    assert curve(recipe) == uninterrupted
    assert all((trained_weights(recipe)[name] == final[name]).all() for name in final)
    assert not (folder / ".step-00000010.partial").exists()


def test_sigterm_saves_a_checkpoint_and_reports_it(base, tmp_path):
    uninterrupted = make_recipe(*base, tmp_path / "uninterrupted", max_steps=30, batch_size=4)
    recipe = make_recipe(*base, tmp_path / "stopped", max_steps=30, batch_size=4, zero=2)
    assert train(uninterrupted, 1) == [0], logs(uninterrupted)
    ranks = start_ranks(recipe, 2)
    while steps_written(recipe) < 3 and all(rank.is_alive() for rank in ranks):
        time.sleep(0.005)
    ranks[1].terminate()  # one rank gets the signal; both stop
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [143, 143], logs(recipe)
    done = steps_written(recipe)
    assert 3 <= done < 30 and names(recipe) == [f"step-{done:08}"]
    assert f"stopped by SIGTERM after step {done}; continue with --resume" in error_messages(recipe)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    assert train(recipe, 2) == [0, 0], logs(recipe)
    for actual, expected in zip(curve(recipe), curve(uninterrupted), strict=True):
        assert actual == pytest.approx(expected, rel=3e-5)


def test_a_full_disk_does_not_damage_existing_files(base, tmp_path):
    """With a limit of 100 kB per file, writes fail as on a full disk."""
    settings = {"max_steps": 6, "every": 3}
    recipe = make_recipe(*base, tmp_path, **settings, save_total_limit=1)
    assert train(recipe, 2, file_limit=100_000) != [0, 0]
    assert (
        f"the checkpoint {tmp_path}/checkpoints/step-00000003 cannot be written: "
        in error_messages(recipe)
    )
    assert "File too large" in error_messages(recipe)
    assert "free disk space" in error_messages(recipe)
    assert train(recipe, 2) == [0, 0], logs(recipe)
    complete = curve(recipe)
    for path in (*tmp_path.glob("*.safetensors"), tmp_path / "training.json"):
        path.unlink()
    assert train(recipe, 2, file_limit=100_000) != [0, 0]  # all steps are done, but not the model
    assert f"the model cannot be written to {tmp_path}: " in error_messages(recipe)
    assert names(recipe) == ["step-00000006"] and not (tmp_path / "model.safetensors").exists()
    assert train(recipe, 2) == [0, 0], logs(recipe)
    assert curve(recipe) == complete and trained_weights(recipe)


def test_a_checkpoint_of_another_recipe_is_refused(base, tmp_path):
    recipe = make_recipe(*base, tmp_path, max_steps=4, every=2)
    assert train(recipe, 1) == [0], logs(recipe)
    other = make_recipe(*base, tmp_path, max_steps=4, every=2, learning_rate=1e-3, seed=8)
    assert train(other, 1) == [1]
    message = (
        "belongs to another run: tuning.learning_rate, tuning.seed differ; use another --output"
    )
    assert message in error_messages(other)
    assert len(metrics(recipe)) == 4, "the metrics have changed"


def test_which_checkpoint_is_the_newest(tmp_path):
    folder = tmp_path / "checkpoints"
    assert checkpoints.newest(tmp_path, pytest.fail) is None
    for step in (9, 10, 100_000_000):
        (folder / f"step-{step:08}").mkdir(parents=True)
        content = {"step": step, "ranks": 1, "files": {}, "notes": {}}
        (folder / f"step-{step:08}" / "complete.json").write_text(json.dumps(content))
    (folder / "step-latest").mkdir()
    assert checkpoints.newest(tmp_path, pytest.fail).step == 100_000_000
    checkpoints.prune(tmp_path, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["step-100000000", "step-latest"]
    (folder / "step-100000000" / "complete.json").write_text("[")
    messages = []
    assert checkpoints.newest(tmp_path, messages.append) is None
    assert messages == [
        f"the checkpoint {folder}/step-100000000 is corrupt: complete.json cannot be read; "
        "it is skipped for the one before it"
    ]
