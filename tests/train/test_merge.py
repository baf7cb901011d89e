"""`seqit merge`: adapters into their base, shards into one model, written atomically."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from support.paths import TESTS

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
pytest.importorskip("peft", reason="seqit[train] is not installed")

from support.adapters import INPUT_IDS, SMALL, load_model, logits_of, train
from support.local_backend import Session, request
from support.tiny_model import TEMPLATE, make_model
from support.tiny_vision import make_instructblip, make_llava

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.transformers import TransformersBackend
from seqit.llm.request import Completion
from seqit.train.loop import checkpoints
from seqit.train.loop.checkpoints import ProcessGroup
from seqit.train.loop.engine_state import StateTensor
from seqit.train.merge import merge
from seqit.train.model import folder as model_folder
from seqit.train.model.folder import new_folder
from seqit.train.model.lora import add_lora, save_adapter
from seqit.train.recipe import RUN_FILE, TrainRecipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SINGLE_RANK = ProcessGroup(0, 1, lambda: None)


class FakeEngineState:
    """The state of an engine in one process, reduced to a model's trained weights."""

    def __init__(self, model):
        self.weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}

    def tensors(self):
        return [(StateTensor("weight", name), each.numel()) for name, each in self.weights.items()]

    def read(self, tensor):
        return self.weights[tensor.name]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base):
    """The base with trained adapters."""
    return train(add_lora(load_model(base), SMALL, str(base)))


@pytest.fixture
def adapter(trained, base, tmp_path):
    """The folder of a finished run: the adapter, and the tokenizer used in training."""
    folder = tmp_path / "adapter"
    save_adapter(trained, folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(base / name, folder)
    return folder


def write_checkpoint(folder, recipe, model):
    """Write a run's folder with a checkpoint of the model, and return the checkpoint."""
    folder.mkdir(parents=True)
    (folder / RUN_FILE).write_text(json.dumps(recipe.to_dict()))
    return checkpoints.save(folder, 12, FakeEngineState(model), SINGLE_RANK, notes={}, keep=2)


def ids_of(folder, *tokens):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(list(tokens))


# --- adapters ------------------------------------------------------------------------------------


def test_the_merged_model_has_the_logits_of_base_and_adapter(adapter, trained, base, tmp_path):
    import torch

    made = merge(adapter, tmp_path / "out")
    assert (made.kind, made.base, made.dtype) == ("adapter", str(base), "float32")
    merged = load_model(tmp_path / "out")
    assert made.parameters == sum(each.numel() for each in merged.parameters())
    assert made.parameters == sum(each.numel() for each in load_model(base).parameters())
    assert torch.allclose(logits_of(merged.eval()), logits_of(trained), atol=1e-4)
    assert not torch.allclose(logits_of(merged), logits_of(load_model(base)), atol=1e-2)


def test_the_backend_answers_with_it_as_with_base_and_adapter(adapter, tmp_path, base):
    (adapter / "chat_template.jinja").write_text(TEMPLATE.replace("<|user|>", "Ask: "))
    merge(adapter, tmp_path / "out")
    template = str(adapter / "chat_template.jinja")
    apart = Session(TransformersBackend(str(base), lora=str(adapter), chat_template=template))
    merged = Session(TransformersBackend(str(tmp_path / "out")))
    questions = [request(f"Name {n} rivers.", temperature=0) for n in range(6)]
    answers = [answer.text for answer in merged.complete(questions)]
    assert answers == [answer.text for answer in apart.complete(questions)]
    assert all(isinstance(answer, Completion) for answer in merged.complete(questions))
    plain = Session(TransformersBackend(str(base), chat_template=template)).complete(questions)
    assert answers != [answer.text for answer in plain]


def test_the_folder_has_all_files_of_a_model(adapter, base, tmp_path):
    merge(adapter, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors"}
    assert names >= {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert not any("adapter" in name for name in names)
    settings = "generation_config.json"
    assert (tmp_path / "out" / settings).read_bytes() == (base / settings).read_bytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    modes = {path.stat().st_mode & 0o777 for path in [tmp_path / "out", adapter]}
    assert len(modes) == 1  # no folder that only its owner may read


def test_the_dtype_is_the_bases_or_the_requested_one(adapter, base, tmp_path):
    import torch

    half = tmp_path / "half"
    shutil.copytree(base, half)
    load_model(base).to(torch.bfloat16).save_pretrained(half)
    assert merge(adapter, tmp_path / "a", base=str(half)).dtype == "bfloat16"
    assert merge(adapter, tmp_path / "b", dtype="bfloat16").dtype == "bfloat16"
    assert merge(adapter, tmp_path / "c", base=str(half), dtype="float32").dtype == "float32"
    assert load_model(tmp_path / "a").dtype == torch.bfloat16


@pytest.mark.parametrize("make", [make_llava, make_instructblip])
def test_a_vision_model_keeps_its_processor(make, tmp_path):
    import torch

    from seqit.train.data.vision import load_processor

    (tmp_path / "base").mkdir()
    folder = make(tmp_path / "base")
    model = add_lora(load_model(folder), SMALL, str(folder))
    for name, each in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(each)
    save_adapter(model, tmp_path / "adapter")
    merge(tmp_path / "adapter", tmp_path / "out")
    expected = dict(model.merge_and_unload().named_parameters())
    before = dict(load_model(folder).named_parameters())
    merged = dict(load_model(tmp_path / "out").named_parameters())
    assert merged.keys() == expected.keys()
    assert all(torch.equal(merged[name], each) for name, each in expected.items())
    assert sum(not torch.equal(merged[name], before[name]) for name in merged) == 14
    assert type(load_processor(str(tmp_path / "out"))) is type(load_processor(str(folder)))


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "checkpoint"])
def test_a_run_that_was_not_finished_becomes_a_model(name, base, tmp_path):
    import torch

    model = train(load_model(base))
    run = tmp_path / "run"
    checkpoint = write_checkpoint(run, TrainRecipe(model=str(base), output=str(run)), model)
    made = merge(run if name == "run" else checkpoint, tmp_path / "out")
    assert made.kind == "checkpoint"
    merged = load_model(tmp_path / "out").eval()
    assert torch.equal(logits_of(merged), logits_of(model))


def test_a_checkpoint_of_adapters_is_merged_and_has_the_runs_template(base, trained, tmp_path):
    import torch

    template = tmp_path / "mine.jinja"
    template.write_text(TEMPLATE.replace("<|end|>", "<|system|>"))  # a token of another meaning
    recipe = TrainRecipe(model=str(base), output="o", lora=SMALL, template=str(template))
    write_checkpoint(tmp_path / "run", recipe, trained)
    merge(tmp_path / "run", tmp_path / "out")
    merged = load_model(tmp_path / "out").eval()
    assert torch.allclose(logits_of(merged), logits_of(trained), atol=1e-4)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == template.read_text()
    settings = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    tokens = ids_of(tmp_path / "out", "<|end|>", "<|system|>")
    assert settings["eos_token_id"] == tokens  # the base's, and the one of the training
    template.unlink()
    with pytest.raises(SeqitError, match=r"mine\.jinja, used in training, no longer exists"):
        merge(tmp_path / "run", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_checkpoint_that_is_broken_or_of_another_model_is_refused(base, tmp_path):
    import torch

    run = tmp_path / "run"
    recipe = TrainRecipe(model=str(base), output=str(run))
    checkpoint = write_checkpoint(run, recipe, load_model(base))
    (run / RUN_FILE).write_text("[]")
    with pytest.raises(SeqitError, match=r"is not the folder of a run: run\.json cannot be read"):
        merge(checkpoint, tmp_path / "out")
    (tmp_path / "llava").mkdir()
    other = make_llava(tmp_path / "llava")
    (run / RUN_FILE).write_text(json.dumps(recipe.to_dict() | {"model": str(other)}))
    with pytest.raises(SeqitError, match=r"to another model than the base: .* size mismatch"):
        merge(checkpoint, tmp_path / "out")
    other = load_model(base)
    other.more = torch.nn.Linear(2, 2)
    more = write_checkpoint(tmp_path / "more", recipe, other)
    with pytest.raises(SeqitError, match=r"base: 2 of its weights are unexpected, .* more\."):
        merge(more, tmp_path / "out")
    (weights,) = checkpoint.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    for source in (run, checkpoint):
        with pytest.raises(SeqitError, match="corrupt: state-"):
            merge(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def shards(base, tmp_path_factory):
    """Checkpoints of two ranks, in one folder per ZeRO stage."""
    out = tmp_path_factory.mktemp("shards")
    script = TESTS / "support" / "zero_checkpoints.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, "--nproc-per-node=2", script, base, out], env=env, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_shards_are_gathered_to_the_trained_weights(stage, shards, base, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = shards / str(stage)
    expected = load_file(folder / "whole.safetensors")
    made = merge(folder, tmp_path / "out", base=str(base))
    assert made.kind == "shards"
    merged = load_model(tmp_path / "out")
    weights = dict(merged.named_parameters())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    before = dict(load_model(base).named_parameters())
    assert not any(torch.equal(weights[name], before[name]) for name in expected)
    # With the config and without the base's weights, as transformers' Trainer saves it.
    with_config = tmp_path / "with-config"
    shutil.copytree(folder, with_config)
    (with_config / "whole.safetensors").unlink()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, with_config)
    merge(with_config, tmp_path / "more")
    assert torch.equal(logits_of(load_model(tmp_path / "more")), logits_of(merged))


@pytest.mark.slow
def test_shards_that_are_missing_corrupt_or_malicious_are_refused(shards, base, tmp_path):
    folder, out = tmp_path / "3", tmp_path / "out"
    shutil.copytree(shards / "3", folder)
    (folder / "whole.safetensors").unlink()
    with pytest.raises(UsageError, match="does not name its base model"):
        merge(folder, out)
    (tag,) = [path for path in folder.iterdir() if path.is_dir()]
    shard = tag / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    whole = shard.read_bytes()

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    import torch

    torch.save({"x": Evil()}, shard, pickle_module=pickle)
    with pytest.raises(SeqitError, match="cannot be read: Weights only load failed"):
        merge(folder, out, base=str(base))
    assert not (tmp_path / "pwned").exists()
    shard.write_bytes(whole[:5000])
    with pytest.raises(SeqitError, match="cannot be read"):
        merge(folder, out, base=str(base))
    shard.unlink()
    with pytest.raises(SeqitError, match="cannot be read"):
        merge(folder, out, base=str(base))
    (folder / "latest").write_text("global_step99")
    with pytest.raises(SeqitError, match="names 'global_step99', which does not exist"):
        merge(folder, out, base=str(base))
    assert not out.exists()


# --- what cannot be merged -----------------------------------------------------------------------


def test_a_folder_without_an_adapter(tmp_path, base):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SeqitError, match="nothing to merge: no adapter"):
        merge(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(SeqitError, match="is not a folder"):
        merge(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(SeqitError, match="already contains a complete model"):
        merge(base, tmp_path / "out")
    (tmp_path / "empty" / "checkpoints").mkdir()
    with pytest.raises(SeqitError, match="contains no complete checkpoint"):
        merge(tmp_path / "empty", tmp_path / "out")


def test_a_base_that_is_not_found(adapter, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/nowhere/base"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SeqitError, match=r"base of .*adapter is not found: /nowhere/base.*--base"):
        merge(adapter, tmp_path / "out")
    config["base_model_name_or_path"] = None
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="does not name its base model"):
        merge(adapter, tmp_path / "out")


def test_a_missing_tokenizer(adapter, base, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(base, bare)
    for folder in (adapter, bare):
        (folder / "tokenizer.json").unlink()
    with pytest.raises(SeqitError, match="there is no tokenizer in"):
        merge(adapter, tmp_path / "out", base=str(bare))
    (adapter / "tokenizer.json").write_text("{")
    with pytest.raises(SeqitError, match=r"the tokenizer in .*adapter cannot be loaded"):
        merge(adapter, tmp_path / "out", base=str(bare))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "bare"]


def test_an_adapter_of_another_kind_or_with_broken_numbers(adapter, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    weights[next(iter(weights))].fill_(float("nan"))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(SeqitError, match=r"the adapter in .* is broken: NaNs"):
        merge(adapter, tmp_path / "out")
    assert torch.isnan(weights[next(iter(weights))]).all()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    with pytest.raises(SeqitError, match=r"only LoRA can be merged"):
        merge(adapter, tmp_path / "out")
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(SeqitError, match=r"adapter_config\.json cannot be read"):
        merge(adapter, tmp_path / "out")


# --- whole or not at all -------------------------------------------------------------------------


def test_an_existing_folder_is_not_changed(adapter, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        merge(adapter, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    merge(adapter, out)  # an empty folder may exist
    assert (out / "config.json").is_file()


def test_a_disk_that_is_too_small_is_reported_before_anything_is_written(
    adapter, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(SeqitError, match=r"needs 0\.0 GB, but the disk has 0\.0 GB left"):
        merge(adapter, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_folder_that_cannot_be_finished_is_removed(tmp_path):
    for error, expected, message in (
        (OSError(28, "No space left on device"), SeqitError, "cannot be written: No space left"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ):
        with pytest.raises(expected, match=message), new_folder(tmp_path / "out") as folder:
            (folder / "part").write_text("x")
            raise error
    assert list(tmp_path.iterdir()) == []
    no_parent = pytest.raises(SeqitError, match="does not exist; create it first")
    with no_parent, new_folder(tmp_path / "a" / "b"):
        pass


# --- the command ---------------------------------------------------------------------------------


def test_the_command(adapter, base, tmp_path, seqit):
    ran = seqit("merge", adapter, "-o", tmp_path / "out", HF_HUB_OFFLINE="1")
    assert (ran.code, ran.out) == (0, b""), ran.err
    assert re.fullmatch(
        rf"seqit merge: {tmp_path}/out: 430,720 parameters in float32, from the adapter in "
        rf"{adapter} and the base model {base}\n",
        ran.err,
    ), ran.err
    assert (tmp_path / "out" / "config.json").is_file()
    again = seqit("merge", adapter, "-o", tmp_path / "out", HF_HUB_OFFLINE="1")
    assert again.code == 2 and "already exists" in again.err
    nothing = seqit("merge", tmp_path, "-o", tmp_path / "more", HF_HUB_OFFLINE="1")
    assert nothing.code == 1 and "nothing to merge" in nothing.err
    assert "Traceback" not in again.err + nothing.err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_merge_that_is_stopped_leaves_no_half_model(number, adapter, tmp_path):
    from support.paths import BIN

    out = tmp_path / "out"
    process = subprocess.Popen([BIN / "seqit", "merge", adapter, "-o", out], stderr=-1)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    process.communicate()
    whole = out.exists() and (out / "tokenizer.json").is_file()
    assert whole or not out.exists()
    assert len(INPUT_IDS) and process.returncode in (0, 143, -9)
    if number == signal.SIGTERM:
        assert not list(tmp_path.glob(".out.*"))
