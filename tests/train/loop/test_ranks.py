"""Any number of ranks and any ZeRO stage give the loss of a plain PyTorch loop."""

from importlib.util import find_spec

import pytest

if not all(map(find_spec, ("torch", "transformers", "deepspeed", "peft"))):
    pytest.skip("seqit[train] is not installed", allow_module_level=True)

from support.tiny_model import make_model
from support.training import (
    LENGTH,
    curve,
    logs,
    make_recipe,
    metrics,
    random_rows,
    train,
    trained_weights,
    write_prepared,
)

from seqit.train.data.sampler import BatchSampler
from seqit.train.recipe import Lora

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ROWS = random_rows(125)
STEPS = 10


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model"), write_prepared(folder / "tokens", ROWS)


def plain_loop(model_folder, recipe):
    """Train without DeepSpeed, packing, ranks and micro-batches; yield loss and norm of each step.

    The last item is the state dict of the trained model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32")
    tuning = recipe.tuning
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": tuning.weight_decay},
         {"params": others, "weight_decay": 0.0}], lr=tuning.learning_rate,
    )  # fmt: skip
    sampler = BatchSampler([len(row) for row in ROWS], tuning, recipe.data, 1)
    warmup = 2  # 0.2 of ten steps
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: k / warmup if k < warmup else max(0.0, (STEPS - k) / (STEPS - warmup)),
    )
    for step in range(STEPS):
        rows = [ROWS[row] for each in sampler.batch(step) for row in each]
        total = sum(len(row) - max(len(row) // 3, 1) for row in rows)
        loss = 0.0
        for row in rows:
            ids = torch.tensor([row])
            logits = model(ids).logits[0, :-1]
            first = max(len(row) // 3, 1)
            row_loss = torch.nn.functional.cross_entropy(
                logits[first - 1 :], ids[0, first:], reduction="sum"
            )
            (row_loss / total).backward()
            loss += row_loss.item() / total
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), tuning.max_grad_norm)
        yield loss, norm.item()
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
    yield model.state_dict()


SAME = {"max_steps": STEPS, "warmup": 0.2, "weight_decay": 0.1, "max_grad_norm": 1.0}


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory):
    recipe = make_recipe(*base, tmp_path_factory.mktemp("plain"), **SAME)
    *curve, state = plain_loop(base[0], recipe)
    return curve, state


@pytest.mark.parametrize(
    ("ranks", "stage", "micro_batch"),
    [
        (1, 0, 1),
        (1, 0, 3),
        (1, 2, 1),
        (2, 0, 1),
        (2, 1, 1),
        (2, 2, 1),
        (2, 2, 2),
        (2, 3, 1),
        (3, 3, 2),
    ],
)
def test_losses_norms_and_weights_equal_those_of_a_plain_loop(
    base, plain, tmp_path, ranks, stage, micro_batch
):
    """Each rank has several micro-batches per step, and in some steps one rank has fewer."""
    recipe = make_recipe(*base, tmp_path, zero=stage, micro_batch=micro_batch, **SAME)
    assert train(recipe, ranks) == [0] * ranks, logs(recipe)
    rows = metrics(recipe)
    expected, state = plain
    assert len(rows) == len(expected) == STEPS
    for row, (loss, norm) in zip(rows, expected, strict=True):
        assert row["loss"] == pytest.approx(loss, rel=2e-6)
        assert row["grad_norm"] == pytest.approx(norm, rel=2e-5)
    assert expected[0][1] > 1  # the gradient was clipped
    for name, tensor in trained_weights(recipe).items():
        assert (tensor - state[name]).abs().max() < 2e-5, name
    assert rows[0]["learning_rate"] == 0 and rows[2]["learning_rate"] == 3e-3
    assert rows[-1]["tokens"] == sum(
        len(ROWS[row])
        for step in range(STEPS)
        for each in BatchSampler([len(r) for r in ROWS], recipe.tuning, recipe.data, 1).batch(step)
        for row in each
    )


def test_unpacked_losses_equal_those_of_a_plain_loop(base, tmp_path):
    recipe = make_recipe(*base, tmp_path, packing=False, micro_batch=5, zero=2, **SAME)
    assert train(recipe, 2) == [0, 0], logs(recipe)
    *expected, _ = plain_loop(base[0], recipe)
    results = [(row["loss"], row["grad_norm"]) for row in metrics(recipe)]
    for actual, reference in zip(results, expected, strict=True):
        assert actual == pytest.approx(reference, rel=2e-5)


def test_bfloat16_has_float32_master_weights(base, plain, tmp_path):
    """The losses are close to float32; weights updated in bfloat16 would stagnate or drift."""
    for ranks, stage in ((1, 0), (1, 1), (2, 3)):
        recipe = make_recipe(*base, tmp_path / str(stage), zero=stage, dtype="bfloat16", **SAME)
        assert train(recipe, ranks) == [0] * ranks, logs(recipe)
        for row, (loss, _) in zip(metrics(recipe), plain[0], strict=True):
            assert row["loss"] == pytest.approx(loss, rel=5e-3)


@pytest.mark.parametrize(("ranks", "stage"), [(2, 2), (2, 3)])
def test_adapters_train_the_same_on_two_ranks_as_on_one(base, tmp_path, ranks, stage):
    one = make_recipe(*base, tmp_path / "one", lora=Lora(rank=4), max_steps=6)
    two = make_recipe(*base, tmp_path / "two", lora=Lora(rank=4), max_steps=6, zero=stage)
    assert train(one, 1) == [0], logs(one)
    assert train(two, ranks) == [0] * ranks, logs(two)
    for actual, expected in zip(curve(two), curve(one), strict=True):
        assert actual == pytest.approx(expected, rel=2e-5)
    first, second = trained_weights(one), trained_weights(two)
    assert first.keys() == second.keys() and all("lora" in name for name in first)
    assert all((first[name] - second[name]).abs().max() < 1e-5 for name in first)


def test_the_evaluation_loss_is_the_mean_over_supervised_tokens(base, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    held_out = random_rows(9, seed=1)
    write_prepared(tmp_path / "tokens", ROWS)
    tokens = write_prepared(tmp_path / "tokens", held_out, "eval")
    recipe = make_recipe(base[0], tokens, tmp_path / "out", max_steps=3, zero=2)
    recipe = recipe.from_dict(
        recipe.to_dict() | {"data": {"length": LENGTH, "eval": ["held.jsonl"]}}
    )
    assert train(recipe, 2) == [0, 0], logs(recipe)
    model = AutoModelForCausalLM.from_pretrained(recipe.output)
    total = count = 0
    with torch.no_grad():
        for row in held_out:
            first = max(len(row) // 3, 1)
            logits = model(torch.tensor([row])).logits[0, first - 1 : -1]
            total += torch.nn.functional.cross_entropy(
                logits, torch.tensor(row[first:]), reduction="sum"
            ).item()
            count += len(row) - first
    *_, last = metrics(recipe)
    assert last["eval_loss"] == pytest.approx(total / count, rel=1e-5)
    assert last["eval_targets"] == count and last["step"] == 3


def test_the_result_is_a_model_folder_with_provenance(base, tmp_path):
    import json

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from seqit.records.validation import schema

    recipe = make_recipe(*base, tmp_path, max_steps=2)
    assert train(recipe, 1) == [0], logs(recipe)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base[0]).chat_template
    AutoModelForCausalLM.from_pretrained(tmp_path)
    provenance = json.loads((tmp_path / "training.json").read_text())
    assert schema("training").is_valid(provenance), schema("training").problems(provenance)
    assert provenance["recipe"]["tuning"]["seed"] == 7 and provenance["steps"] == 2
    assert provenance["tokens"] == metrics(recipe)[-1]["tokens"] > provenance["targets"] > 0
    assert provenance["data"] == {"rows.jsonl": "0" * 64}
    assert provenance["last"]["loss"] == metrics(recipe)[-1]["loss"]
    assert not list(tmp_path.glob(".*")), "partial files are left"
