"""Training recipes: YAML, the defaults of the paper, and the schema."""

import dataclasses
import json

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
from support.paths import ROOT

from seqit.commands._train_options import apply_options
from seqit.errors import SeqitError, UsageError
from seqit.records.validation import schema
from seqit.train.recipe import SECTIONS, Data, Lora, Memory, TrainRecipe, Tuning, read_recipe

NAMED = b"model: org/base\noutput: runs/sit\n"
WHOLE = (
    NAMED
    + b"""
revision: main
template: chat.jinja
data: {sources: [a.jsonl, b.parquet], held_out: 0.02, length: 1024, truncate: true, packing: false,
  loss: last}
tuning: {epochs: 2, max_steps: 10, batch_size: 64, batch_tokens: 9999, micro_batch: 4,
  learning_rate: 1e-5,
  schedule: cosine, warmup: 0.1, weight_decay: 0.05, max_grad_norm: 2, seed: 7}
memory: {zero: 3, offload: "nvme:/mnt", dtype: bfloat16, checkpointing: false, attention: sdpa,
  deepspeed: ds.json}
lora: {rank: 8, alpha: 32, dropout: 0.1, targets: "q_proj,v_proj", bits: 4}
checkpoints: {every: 5, save_total_limit: 3}
logging: {log_every: 2, eval_every: 5, tensorboard: tb, wandb: sit}
launch: {ranks: 8, nodes: 2, hostfile: hosts, rendezvous: "a:1", restarts: 1}
"""
)


def test_the_defaults_are_those_of_the_paper():
    tuning, data, lora = Tuning(), Data(), Lora()
    assert (tuning.batch_size, tuning.learning_rate, tuning.schedule, tuning.warmup) == (
        128,
        2e-5,
        "linear",
        0.03,
    )
    assert (tuning.weight_decay, tuning.epochs, data.length) == (0, 3, 2048)
    assert (data.loss, data.truncate) == ("assistant", False)
    assert (lora.rank, lora.alpha, lora.targets) == (64, 16, "all-linear")
    assert Memory().checkpointing


def test_every_field_is_read():
    recipe = read_recipe(WHOLE, "whole.yaml")
    for name, section in SECTIONS.items():
        read, default = getattr(recipe, name), section()
        same = [
            f.name
            for f in dataclasses.fields(read)
            if getattr(read, f.name) == getattr(default, f.name)
        ]
        assert same == (["eval"] if name == "data" else []), name
    assert recipe.data.sources == ("a.jsonl", "b.parquet")
    assert (recipe.model, recipe.revision, recipe.output) == ("org/base", "main", "runs/sit")


@pytest.mark.parametrize("text", [WHOLE, NAMED, NAMED + b"lora: null", NAMED + b"lora: {}"])
def test_a_recipe_is_the_same_after_a_round_trip(text):
    recipe = read_recipe(text, "r.yaml")
    document = json.loads(json.dumps(recipe.to_dict()))
    assert TrainRecipe.from_dict(document) == recipe
    assert read_recipe(json.dumps(document).encode(), "run.json") == recipe


def test_the_schema_names_every_field_and_no_other():
    known = schema("train").document["properties"]
    assert set(known) == {field.name for field in dataclasses.fields(TrainRecipe)}
    for name, section in SECTIONS.items():
        assert list(known[name]["properties"]) == [f.name for f in dataclasses.fields(section)]


def test_the_command_has_an_option_for_every_field():
    from seqit.commands.train import command

    options = {param.name for param in command.params}
    for name, section in SECTIONS.items():
        fields = {f"{name}__{field.name}" for field in dataclasses.fields(section)}
        assert fields - options <= {"data__sources"}


def test_one_source_needs_no_list():
    assert read_recipe(b"data: {sources: a.jsonl, eval: b.jsonl}", "r").data.eval == ("b.jsonl",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"model: [", "r.yaml is not YAML"),
        (b"tuning: {lr: 1}", "unknown field .lr.: it is called learning_rate"),
        (b"out: o", "unknown field .out.: it is called output"),
        (b"modell: x", "unknown field 'modell' .did you mean 'model'"),
        (b"tuning: {learning_rate: fast}", "tuning.learning_rate: expected a number"),
        (b"tuning: {batch_size: 0}", "tuning.batch_size"),
        (b"tuning: {schedule: liner}", "tuning.schedule.*did you mean 'linear'"),
        (b"memory: {zero: 4}", "memory.zero"),
        (b"memory: {offload: disk}", "memory.offload"),
        (b"data: {held_out: 1}", "data.held_out"),
        (b"lora: {bits: 3}", "lora.bits"),
        (b"lora: true", "lora: expected an object or null, found true"),
    ],
)
def test_invalid_recipes_are_reported(text, message):
    with pytest.raises(SeqitError, match=message):
        read_recipe(text, "r.yaml")


VALID = TrainRecipe(model="m", output="o")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "--model is missing"),
        ({"output": ""}, "--output is missing"),
        ({"data": Data(eval=("e",), held_out=0.1)}, "--eval and --held-out"),
        ({"memory": Memory(zero=0, offload="cpu")}, "--offload needs ZeRO"),
        ({"memory": Memory(zero=2, offload="nvme:/x")}, "needs --zero 3"),
        ({"memory": Memory(offload="nvme:")}, "needs the path"),
    ],
)
def test_contradictions_are_reported(change, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(VALID, **change).check()
    VALID.check()


def test_a_dry_run_needs_no_output_folder():
    TrainRecipe(model="m").check(needs_output=False)


def test_the_schema_of_the_package_is_that_of_the_project():
    assert (ROOT / "seqit/schemas/train.schema.json").samefile(ROOT / "schemas/train.schema.json")


def test_rows_of_a_batch_on_the_command_line_replace_tokens_of_a_recipe():
    recipe = read_recipe(NAMED + b"tuning: {batch_tokens: 4096}", "tokens.yaml")
    assert apply_options(recipe, {"tuning__learning_rate": 1e-3}).tuning.batch_tokens == 4096
    tuning = apply_options(recipe, {"tuning__batch_size": 8}).tuning
    assert (tuning.batch_size, tuning.batch_tokens) == (8, None)
    with pytest.raises(UsageError, match="--batch-size and --batch-tokens"):
        apply_options(recipe, {"tuning__batch_size": 8, "tuning__batch_tokens": 4096})
