"""Killed is not lost: a run that goes on ends as one that was left alone, bit for bit."""

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
    end_ranks,
    logs,
    make_recipe,
    metrics,
    random_rows,
    said,
    start_ranks,
    train,
    weights,
    write_rows,
)

from seqit.train.loop import checkpoints
from seqit.train.recipe import Lora

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model"), write_rows(folder / "tokens", random_rows(125))


def same_weights(one, other):
    import torch

    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def names(recipe):
    return sorted(path.name for path in (Path(recipe.out) / "checkpoints").iterdir())


def steps_written(recipe):
    path = Path(recipe.out) / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_one(recipe, ranks, rng):
    """Kill one rank at a random moment of the next few steps; True where it was in time."""
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
    end_ranks(ranks)
    return victim.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", [2, 3])
def test_after_ten_kills_the_curve_and_the_weights_are_those_of_a_run_left_alone(
    base, tmp_path, stage
):
    """Ten a stage: 20 kills in all, of either rank, in the middle of steps and of checkpoints."""
    rng = random.Random(stage)
    settings = {"max_steps": 48, "zero": stage, "every": 2, "batch": 6, "weight_decay": 0.1}
    alone = make_recipe(*base, tmp_path / "alone", **settings)
    assert train(alone, 2) == [0, 0], logs(alone)
    killed = make_recipe(*base, tmp_path / "killed", **settings)
    kills = 0
    while kills < 10:
        ranks = start_ranks(killed, 2)
        kills += kill_one(killed, ranks, rng)
        assert all(rank.exitcode != 0 for rank in ranks), "it has come to its end too soon"
    assert train(killed, 2) == [0, 0], logs(killed)
    assert curve(killed) == curve(alone) and len(curve(alone)) == 48
    assert same_weights(killed, alone)
    assert len(names(killed)) == 2


@pytest.mark.parametrize("stages", [(2, 0, 3), (3, 1, 2)])
def test_a_run_goes_on_on_another_number_of_ranks_and_back(base, tmp_path, stages):
    """And in another stage of ZeRO: a checkpoint knows of neither."""
    alone = make_recipe(*base, tmp_path / "alone", max_steps=9)
    assert train(alone, 1) == [0], logs(alone)
    moved = None
    for part, (ranks, stage) in enumerate(zip((2, 1, 2), stages, strict=True)):
        moved = make_recipe(*base, tmp_path / "moved", max_steps=9, zero=stage, every=3)
        assert train(moved, ranks) == [0] * ranks, logs(moved)
        if part < 2:  # as if it had been killed before step 4, and before step 7
            for name in names(moved):
                if int(name.removeprefix("step-")) > 3 * (part + 1):
                    shutil.rmtree(tmp_path / "moved" / "checkpoints" / name)
    for mine, theirs in zip(curve(moved), curve(alone), strict=True):
        assert mine == pytest.approx(theirs, rel=3e-5)
    first, second = weights(moved), weights(alone)
    assert all((first[name] - second[name]).abs().max() < 2e-5 for name in first)


def test_dropout_of_adapters_goes_on_as_it_would_have(base, tmp_path):
    """Chance depends on the step alone, so no generator's state has to be kept."""
    settings = {"max_steps": 6, "every": 3, "lora": Lora(rank=4, dropout=0.3), "keep": 5}
    alone = make_recipe(*base, tmp_path / "alone", **settings)
    assert train(alone, 1) == [0], logs(alone)
    again = make_recipe(*base, tmp_path / "again", **settings)
    shutil.copytree(tmp_path / "alone", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-00000006")
    assert train(again, 1) == [0], logs(again)
    assert "goes on after step 3 of 6" in logs(again)
    assert curve(again) == curve(alone) and same_weights(again, alone)


def test_a_corrupt_or_unfinished_checkpoint_is_passed_over(base, tmp_path):
    recipe = make_recipe(*base, tmp_path, max_steps=8, every=2, keep=9)
    assert train(recipe, 1) == [0], logs(recipe)
    alone, final = curve(recipe), weights(recipe)
    folder = tmp_path / "checkpoints"
    (state,) = (folder / "step-00000008").glob("*.safetensors")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    state.write_bytes(content)
    (folder / "step-00000006" / "complete.json").unlink()
    (folder / ".step-00000010.partial").mkdir()
    assert train(recipe, 1) == [0], logs(recipe)
    told = logs(recipe)
    assert f"the checkpoint {folder}/step-00000008 is corrupt: {state.name} is not as" in told
    assert f"{folder}/step-00000006 is not whole: complete.json is missing; it is passed" in told
    assert "goes on after step 4 of 8" in told
    assert curve(recipe) == alone
    assert all((weights(recipe)[name] == final[name]).all() for name in final)
    assert not (folder / ".step-00000010.partial").exists()


def test_sigterm_saves_first_and_says_so(base, tmp_path):
    alone = make_recipe(*base, tmp_path / "alone", max_steps=30, batch=4)
    recipe = make_recipe(*base, tmp_path / "stopped", max_steps=30, batch=4, zero=2)
    assert train(alone, 1) == [0], logs(alone)
    ranks = start_ranks(recipe, 2)
    while steps_written(recipe) < 3 and all(rank.is_alive() for rank in ranks):
        time.sleep(0.005)
    ranks[1].terminate()  # one is told; both agree
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [143, 143], logs(recipe)
    done = steps_written(recipe)
    assert 3 <= done < 30 and names(recipe) == [f"step-{done:08}"]
    assert f"stopped by SIGTERM after step {done}; go on with --resume" in said(recipe)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    assert train(recipe, 2) == [0, 0], logs(recipe)
    for mine, theirs in zip(curve(recipe), curve(alone), strict=True):
        assert mine == pytest.approx(theirs, rel=3e-5)


def test_a_full_disk_costs_nothing_that_was_there(base, tmp_path):
    """No file may exceed 100 kB: then the system answers a write as it does on a full disk."""
    settings = {"max_steps": 6, "every": 3}
    recipe = make_recipe(*base, tmp_path, **settings, keep=1)
    assert train(recipe, 2, file_limit=100_000) != [0, 0]
    assert f"the checkpoint {tmp_path}/checkpoints/step-00000003 cannot be written: " in said(
        recipe
    )
    assert "File too large" in said(recipe) and "make room" in said(recipe)
    assert train(recipe, 2) == [0, 0], logs(recipe)
    whole = curve(recipe)
    for path in (*tmp_path.glob("*.safetensors"), tmp_path / "training.json"):
        path.unlink()
    assert train(recipe, 2, file_limit=100_000) != [0, 0]  # all is trained; the model is to write
    assert f"the model cannot be written to {tmp_path}: " in said(recipe)
    assert names(recipe) == ["step-00000006"] and not (tmp_path / "model.safetensors").exists()
    assert train(recipe, 2) == [0, 0], logs(recipe)
    assert curve(recipe) == whole and weights(recipe)


def test_another_recipes_checkpoint_is_not_taken(base, tmp_path):
    recipe = make_recipe(*base, tmp_path, max_steps=4, every=2)
    assert train(recipe, 1) == [0], logs(recipe)
    other = make_recipe(*base, tmp_path, max_steps=4, every=2, lr=1e-3, seed=8)
    assert train(other, 1) == [1]
    assert "is of another run: tuning.lr, tuning.seed differ; take another --out" in said(other)
    assert len(metrics(recipe)) == 4, "what was there is there"


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
    told = []
    assert checkpoints.newest(tmp_path, told.append) is None
    assert told == [
        f"the checkpoint {folder}/step-100000000 is corrupt: complete.json cannot be read; "
        "it is passed over for the one before"
    ]
