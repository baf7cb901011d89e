"""Prepared datasets count every row, and the plan describes the run."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
import numpy as np
from support.paths import BIN
from support.tiny_model import BOS, make_model

from seqit.errors import SeqitError
from seqit.records.run_stats import RunStats, StrictError
from seqit.train.data.chat_encoder import Encoded
from seqit.train.data.dataset import (
    COUNTS_FILE,
    REJECTS_FILE,
    PreparedDataset,
    PreparedDatasetWriter,
    load_counts,
)
from seqit.train.data.encoder import encoder_for, text_encoder
from seqit.train.data.prepare import prepare
from seqit.train.model.memory_estimate import (
    MemoryEstimate,
    ModelSize,
    RankLoad,
    estimate_memory,
    model_size,
)
from seqit.train.plan import make_plan
from seqit.train.recipe import Data, Lora, Memory, TrainRecipe, Tuning

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TUNING, MEMORY = Tuning(), Memory()
LONG = "a very long word " * 40


def row(number, output="Yes, it is so.", **more):
    made = {"id": f"{number:020}", "instruction": f"Is it {number}?", "input": "", "output": output}
    lineage = {"root": f"{number // 2:020}", "iteration": number % 2, "operation": "seed"}
    return made | {"lineage": lineage} | more


ROWS = [
    *(row(number) for number in range(8)),
    row(8, ""),
    row(9, " \n "),
    row(10, "Say <|end|>."),
    row(11, LONG),
    row(12, "No.", instruction=LONG),
    row(13, "Two.", history=[["One?", "One."]], system="Be kind."),
    row(14, "Red.", images=["red.png"]),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS) + "{oops\n")
    return file


def make_recipe(model, *sources, tuning=TUNING, **data):
    files = tuple(map(str, sources))
    return TrainRecipe(model=str(model), data=Data(sources=files, **data), tuning=tuning)


def collect_stats(collected):
    """Return an `open_stats` that stores the statistics and rejects in `collected`."""

    def open_stats(file):
        stats = RunStats("train", lambda reject: collected.setdefault("rejects", []).append(reject))
        collected["stats"] = stats
        return stats

    return open_stats


def prepare_rows(recipe, parent, collected=None):
    collected = {} if collected is None else collected
    return prepare(recipe, encoder_for(recipe), parent, collect_stats(collected))


def reasons(folder):
    return load_counts(folder)["reasons"]["prepare"]


def unaccounted(counts):
    """Return the number of rows that are not accounted for."""
    held_out = counts.get("held_out", 0)
    return counts["read"] - counts["written"] - held_out - counts["rejected"] - counts["failed"]


def test_every_row_is_trained_on_rejected_or_failed(model, source, tmp_path):
    collected = {}
    folder = prepare_rows(make_recipe(model, source, length=96), tmp_path / "tokens", collected)
    counts = load_counts(folder)
    assert counts["read"] == len(ROWS) + 1
    assert unaccounted(counts) == 0
    assert reasons(folder) == {"no-answer": 2, "control-token": 1, "too-long": 2, "images": 1}
    assert counts["reasons"]["read"] == {"not-json": 1}
    assert (counts["written"], counts["rejected"], counts["failed"]) == (9, 3, 4)
    lost = {reject.get("id"): reject["reason"] for reject in collected["rejects"]}
    assert lost[ROWS[11]["id"]] == "too-long"
    assert lost[ROWS[14]["id"]] == "images"
    assert len(PreparedDataset.open(folder)) == 9
    assert len(PreparedDataset.open(folder, "eval")) == 0
    assert counts["rows"] == {"train": 9}


def test_a_truncated_row_is_counted_and_one_with_only_the_prompt_left_fails(
    model, source, tmp_path
):
    collected = {}
    folder = prepare_rows(make_recipe(model, source, length=96, truncate=True), tmp_path, collected)
    counts = load_counts(folder)
    assert reasons(folder) == {"no-answer": 2, "control-token": 1, "fully-masked": 1, "images": 1}
    assert counts["truncated"] == 1
    whole = len(encoder_for(make_recipe(model)).encode(ROWS[11]).ids)
    assert counts["tokens_cut"] == whole - 96
    masked = next(each for each in collected["rejects"] if each["reason"] == "fully-masked")
    assert (masked["id"], masked["outcome"]) == (ROWS[12]["id"], "failed")
    cut = PreparedDataset.open(folder)
    example = cut.example(cut.find(ROWS[11]["id"]))
    assert len(example.ids) == 96
    assert example.loss_mask[-1]


def test_an_answer_without_tokens_fails(model, tmp_path):
    """For example if a template drops words."""
    template = tmp_path / "t.jinja"
    template.write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | replace('Hm', '') }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps(row(0, "HmHm")) + "\n" + json.dumps(row(1)) + "\n")
    recipe = TrainRecipe(str(model), template=str(template), data=Data(sources=(str(source),)))
    assert reasons(prepare_rows(recipe, tmp_path / "tokens")) == {"zero-token": 1}


def test_what_is_on_disk_is_what_was_encoded(model, source, tmp_path):
    recipe = make_recipe(model, source, length=96)
    folder = prepare_rows(recipe, tmp_path)
    disk, encoder = PreparedDataset.open(folder), encoder_for(recipe)
    kept = [*ROWS[:8], ROWS[13]]
    assert [disk.example(n).row_id for n in range(len(disk))] == [each["id"] for each in kept]
    for number, each in enumerate(kept):
        example, encoded = disk.example(number), encoder.encode(each)
        assert example.ids.dtype == np.int32
        assert example.ids.tolist() == encoded.ids
        assert example.loss_mask.tolist() == encoded.loss_mask
        assert disk.lengths[number] == len(encoded.ids)
    assert disk.lengths.dtype == np.int32
    counts = load_counts(folder)
    assert counts["tokens"]["train"] == disk.lengths.sum()
    assert counts["targets"]["train"] == sum(disk.example(n).loss_mask.sum() for n in range(9))
    assert counts["longest"] == max(disk.lengths)
    with pytest.raises(ValueError, match="read-only"):
        disk.example(0).ids[0] = 1
    with pytest.raises(IndexError):
        disk.example(9)


def test_many_batches_are_read_as_one_file(tmp_path):
    file = tmp_path / "train.arrow"
    writer = PreparedDatasetWriter(file)
    for number in range(1200):
        encoded = Encoded([number] * (1 + number % 5), [True] * (1 + number % 5))
        writer.write(f"id{number}", encoded, ["a.png"] * (number % 3))
    writer.close()
    disk = PreparedDataset(file)
    assert len(disk) == 1200
    for number in (0, 511, 512, 1023, 1024, 1199):
        example = disk.example(number)
        assert example.ids.tolist() == [number] * (1 + number % 5)
        assert example.images == ("a.png",) * (number % 3)
    assert disk.find("id1100") == 1100
    assert disk.find("nothing") is None


def test_rows_are_prepared_once(model, source, tmp_path):
    recipe = make_recipe(model, source, length=96)
    folder = prepare_rows(recipe, tmp_path)
    collected = {}
    assert prepare_rows(recipe, tmp_path, collected) == folder
    assert not collected
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, "rows.jsonl"]
    source.write_text(source.read_text() + json.dumps(row(50)) + "\n")
    assert prepare_rows(recipe, tmp_path) != folder
    assert prepare_rows(make_recipe(model, source, length=97), tmp_path) != folder
    assert prepare_rows(make_recipe(model, source, length=96, loss="last"), tmp_path) != folder


def test_a_folder_appears_whole_or_not_at_all(model, source, tmp_path):
    def strict(file):
        return RunStats("train", strict=True)

    source.write_text(source.read_text().removesuffix("{oops\n"))
    recipe = make_recipe(model, source, length=96)
    with pytest.raises(StrictError, match=r"rows.jsonl:9: output: there is no answer to learn"):
        prepare(recipe, encoder_for(recipe), tmp_path / "tokens", strict)
    assert not list((tmp_path / "tokens").iterdir())
    with pytest.raises(SeqitError, match="contains no prepared rows, or not all of them"):
        PreparedDataset.open(tmp_path)


def test_a_folder_of_another_process_is_used_only_if_it_is_complete(model, source, tmp_path):
    recipe = make_recipe(model, source, length=96)
    folder = prepare_rows(recipe, tmp_path / "once")

    def beaten(counts):
        """Prepare the rows while another process writes a folder with `counts` at their place."""

        def open_stats(file):
            other = tmp_path / "race" / folder.name
            other.mkdir()
            (other / counts).write_bytes((folder / COUNTS_FILE).read_bytes())
            return collect_stats({})(file)

        return prepare(recipe, encoder_for(recipe), tmp_path / "race", open_stats)

    assert beaten(COUNTS_FILE) == tmp_path / "race" / folder.name
    shutil.rmtree(tmp_path / "race")
    with pytest.raises(OSError, match="not empty"):
        beaten("half.json")
    assert [path.name for path in (tmp_path / "race").iterdir()] == [folder.name]


def test_whole_roots_are_held_out(model, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row(number)) + "\n" for number in range(400)))
    recipe = make_recipe(model, source, held_out=0.25)
    folder = prepare_rows(recipe, tmp_path)
    counts = load_counts(folder)
    assert unaccounted(counts) == 0
    assert 60 <= counts["held_out"] <= 140
    split = {name: PreparedDataset.open(folder, name) for name in ("train", "eval")}
    ids = {name: {int(p.example(n).row_id) for n in range(len(p))} for name, p in split.items()}
    assert {n // 2 for n in ids["train"]}.isdisjoint(n // 2 for n in ids["eval"])
    assert len(ids["train"]) + len(ids["eval"]) == 400
    other = prepare_rows(make_recipe(model, source, held_out=0.25, tuning=Tuning(seed=1)), tmp_path)
    assert other != folder


def test_rows_for_the_evaluation_come_from_their_own_file(model, source, tmp_path):
    other = tmp_path / "eval.jsonl"
    other.write_text(json.dumps(row(20)) + "\n" + json.dumps(row(21, "")) + "\n")
    counts = load_counts(
        prepare_rows(make_recipe(model, source, eval=(str(other),), length=96), tmp_path)
    )
    assert (counts["read"], counts["held_out"]) == (len(ROWS) + 3, 1)
    assert unaccounted(counts) == 0


def test_tokens_are_counted_by_source_operation_and_iteration(model, tmp_path):
    sources = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    sources[0].write_text("".join(json.dumps(row(number)) + "\n" for number in range(4)))
    chain = row(4, source={"format": "alpaca", "name": "seeds.json"})
    chain["lineage"] |= {"operation": "prefix", "iteration": 2}
    sources[1].write_text(json.dumps(chain) + "\n")
    folder = prepare_rows(make_recipe(model, *sources), tmp_path)
    by, sizes = load_counts(folder)["by"], PreparedDataset.open(folder).lengths
    assert by["source"].keys() == {str(sources[0]), "seeds.json"}
    assert by["source"]["seeds.json"]["tokens"] == sizes[4]
    assert {name: group["rows"] for name, group in by["operation"].items()} == {
        "seed": 4,
        "prefix": 1,
    }
    assert {name: group["rows"] for name, group in by["iteration"].items()} == {
        "0": 2,
        "1": 2,
        "2": 1,
    }
    for groups in by.values():
        assert sum(group["tokens"] for group in groups.values()) == sizes.sum()


def test_the_plan_adds_up(model, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row(number)) + "\n" for number in range(100)))
    recipe = make_recipe(model, source, length=128, tuning=Tuning(batch_size=20, epochs=2))
    folder = prepare_rows(recipe, tmp_path)
    sizes = PreparedDataset.open(folder).lengths
    plan = make_plan(recipe, folder, 2, model_size(recipe, str(model)), has_gpu=False)
    assert plan.training_rows == 100
    assert plan.token_efficiency == pytest.approx(sizes.sum() / (plan.sequences * 128))
    assert plan.steps == 2 * plan.steps_per_epoch
    assert plan.rows_per_step == 100 / plan.steps_per_epoch
    assert plan.tokens_per_step == sizes.sum() / plan.steps_per_epoch
    assert plan.gradient_accumulation_steps == -(-plan.sequences_per_step // 2)
    assert plan.utilization == plan.sequences_per_step / (2 * plan.gradient_accumulation_steps)
    assert plan.stage == 3  # full fine-tuning on two ranks


def test_the_plan_reports_padding_without_packing(model, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row(n, "Yes. " * (1 + n % 9))) + "\n" for n in range(90)))
    recipe = make_recipe(model, source, packing=False, tuning=Tuning(batch_size=30, micro_batch=2))
    plan = make_plan(recipe, prepare_rows(recipe, tmp_path), 1, None, has_gpu=False)
    assert (plan.sequences, plan.sequences_per_step, plan.steps) == (90, 30, 9)
    assert 0.9 < plan.token_efficiency < 1
    assert plan.memory_estimates is None


def test_without_rows_there_is_no_plan(model, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps(row(0, "")) + "\n")
    recipe = make_recipe(model, source)
    assert make_plan(recipe, prepare_rows(recipe, tmp_path), 1, None, has_gpu=False) is None


def test_the_size_is_that_of_the_model(model):
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(model)
    parameters = sum(each.numel() for each in whole.parameters())
    size = model_size(TrainRecipe(str(model)), str(model))
    assert (size.parameters, size.trainable) == (parameters, parameters)
    assert (size.layers, size.hidden_size) == (2, 128)
    adapters = model_size(TrainRecipe(str(model), lora=Lora(rank=4, bits=4)), str(model))
    # A and B of the seven projections in each layer: 128 to 128 four times, to or from 256 thrice
    assert adapters.trainable == 2 * 4 * (4 * (128 + 128) + 3 * (128 + 256))
    assert adapters.parameters == parameters


GIB = 2**30
LLAMA8 = ModelSize(8_030_261_248, 8_030_261_248, 32, 4096, 128_256)


def state(stage, ranks, memory=MEMORY, lora=None, size=LLAMA8, has_gpu=True):
    return (
        estimate_memory(size, memory, lora, RankLoad(2048, ranks, has_gpu))[stage].state
        / size.parameters
    )


def test_the_state_follows_the_formula_of_zero():
    """Bytes per parameter, as in table 1 of the ZeRO paper, except for float32 gradients."""
    assert state(0, 8) == 2 + 2 + 12
    assert state(1, 8) == 2 + 4 + 12 / 8
    assert state(2, 8) == 2 + (4 + 12) / 8
    assert state(3, 8) == (2 + 4 + 12) / 8
    assert state(0, 1, has_gpu=False) == 4 + 4 + 8
    assert state(3, 8, Memory(offload="cpu")) == 4 / 8
    adapters = ModelSize(LLAMA8.parameters, LLAMA8.parameters // 100, 32, 4096, 128_256)
    assert state(0, 1, lora=Lora(bits=4), size=adapters) == pytest.approx(0.5 + 0.01 * 14, abs=0.03)


def test_checkpointing_saves_activations():
    with_it, without = (
        estimate_memory(LLAMA8, Memory(checkpointing=on), None, RankLoad(2048, 8, True))[3]
        for on in (True, False)
    )
    unit = 2048 * 4096 * 2
    logits = 2048 * 128_256 * 10
    assert with_it.activations == unit * 32 + unit * 17 + logits
    assert without.activations == unit * 17 * 32 + logits
    assert with_it.total == with_it.state + with_it.activations
    assert isinstance(with_it, MemoryEstimate)


def test_an_unknown_model_is_reported(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(SeqitError, match="transformers cannot build a model from"):
        model_size(TrainRecipe(str(tmp_path)), str(tmp_path))
    with pytest.raises(SeqitError, match="cannot load a tokenizer from"):
        text_encoder(TrainRecipe(str(tmp_path)))


def run(*args, stdin=b"", cwd=None):
    command = [BIN / "seqit", *map(str, args)]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=env)


@pytest.fixture(scope="module")
def dry_run(model, tmp_path_factory):
    """One dry run over all kinds of rows, with rejects and manifest."""
    folder = tmp_path_factory.mktemp("dry-run")
    lines = "".join(json.dumps(each) + "\n" for each in ROWS) + "{oops\n"
    args = ("train", "--model", model, "--dry-run", "--length", "96", "--batch-size", "4")
    reports = ("--rejects", folder / "rejects.jsonl", "--manifest", folder / "manifest.json")
    ran = run(*args, *reports, "-", stdin=lines.encode(), cwd=folder)
    return ran, folder


def test_a_dry_run_prints_the_plan(dry_run):
    ran, folder = dry_run
    assert ran.returncode == 3, ran.stderr  # rows failed
    out = ran.stdout.decode()
    assert "rows: read 16, trained on 9, held out 0, rejected 3, failed 4\n" in out
    assert "prepare: no-answer 2" in out
    assert "packing: 9 rows in" in out
    assert "ZeRO 3" in out
    assert b"<stdin>" not in ran.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "rejects.jsonl"]


def test_a_dry_run_keeps_what_is_not_trained_on(dry_run):
    _, folder = dry_run
    rejects = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 7
    assert {each["reason"] for each in rejects} >= {"too-long", "no-answer", "not-json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["read"], manifest["written"], manifest["complete"]) == (16, 9, True)
    for schema, file in (("reject", "rejects.jsonl"), ("manifest", "manifest.json")):
        assert run("validate", "--schema", schema, folder / file).returncode == 0


def test_a_row_with_its_mask(model, source):
    ran = run("train", "--model", model, "--length", "96", "--show-mask", ROWS[13]["id"], source)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.decode().splitlines()
    assert lines[0].startswith(f"row {ROWS[13]['id']}: ")
    assert lines[1:] == [
        f"  | {BOS}<|system|>Be kind.<|end|><|user|>One?<|end|><|assistant|>",
        "  + One.<|end|>",
        "  | <|user|>Is it 13?<|end|><|assistant|>",
        "  + Two.<|end|>",
    ]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--dry-run", "--model", "nowhere"), 1, "nowhere is not a folder"),
        (("--show-mask", "zzz"), 1, "no training row has an id that begins with 'zzz'"),
        (("--output", "out"), 1, "4 rows failed, so nothing is trained"),
        (
            ("--dry-run", "--length", "9"),
            1,
            "no row is left to train on: 16 were read (too-long 11, no-answer 2, ",
        ),
        (("--output", "file"), 2, "--output file is a file"),
        (("--output", "begun"), 2, "begun contains a run; --resume continues it"),
    ],
)
def test_invalid_requests_are_reported(args, code, message, model, source, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    more = () if "--model" in args else ("--model", model)
    ran = run("train", "--length", "96", *more, *args, source, cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert message in " ".join(ran.stderr.decode().split())
    assert b"Traceback" not in ran.stderr


def test_the_run_records_its_prepared_rows(model, source, tmp_path):
    args = (
        "train",
        "--length",
        "96",
        "--model",
        model,
        "--output",
        tmp_path / "out",
        "--skip-failed",
    )
    ran = run(*args, "--print-launch", source)
    assert ran.returncode == 0, ran.stderr
    assert b"seqit.train.launch.worker" in ran.stdout
    written = json.loads((tmp_path / "out" / "run.json").read_text())
    tokens = Path(written["tokens"])
    assert tokens.parent == tmp_path / "out" / "tokens"
    assert (tokens / COUNTS_FILE).is_file()
    assert len((tokens / REJECTS_FILE).read_text().splitlines()) == 7


def test_a_run_resumes_without_its_sources(model, source, tmp_path):
    out = tmp_path / "out"
    begun = run(
        *("train", "--length", "96", "--model", model, "--output", out, "--skip-failed"),
        *("--print-launch", "--learning-rate", "2e-4", source),
    )
    assert begun.returncode == 0, begun.stderr
    first = json.loads((out / "run.json").read_text())
    source.unlink()
    out.rename(tmp_path / "moved")
    again = run(
        "train", "--output", tmp_path / "moved", "--resume", "--skip-failed", "--print-launch"
    )
    assert again.returncode == 0, again.stderr
    assert b"trained on 9" in again.stderr
    moved = str(tmp_path / "moved")
    tokens = first["tokens"].replace(str(out), moved)
    second = json.loads((tmp_path / "moved" / "run.json").read_text())
    assert second == first | {"output": moved, "resume": True, "tokens": tokens}
    assert second["tuning"]["learning_rate"] == 2e-4


def test_standard_input_is_kept_with_the_run(model, tmp_path):
    lines = "".join(json.dumps(row(number)) + "\n" for number in range(4)).encode()
    ran = run(
        "train", "--model", model, "--output", "out", "--print-launch", stdin=lines, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    (name,) = json.loads((tmp_path / "out" / "run.json").read_text())["data"]["sources"]
    assert (tmp_path / name).read_bytes() == lines
    assert not list((tmp_path / "out" / "tokens").glob(".*"))
