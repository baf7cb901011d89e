"""LoRA and QLoRA on tiny models."""

import json
import sys

import pytest
from support.adapters import SMALL, load_model, logits_of, train

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
pytest.importorskip("peft", reason="seqit[train] is not installed")

from support.tiny_model import make_model
from support.tiny_vision import make_instructblip, make_llava

from seqit.errors import SeqitError, UsageError
from seqit.train.model.lora import (
    PROJECTIONS,
    add_lora,
    check_lora,
    load_adapter,
    quantization,
    resolve_target_modules,
    save_adapter,
)
from seqit.train.recipe import Lora

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    makers = {"text": make_model, "llava": make_llava, "instructblip": make_instructblip}
    return {kind: str(make(tmp_path_factory.mktemp(kind))) for kind, make in makers.items()}


@pytest.mark.parametrize("kind", ["text", "llava", "instructblip"])
def test_only_the_adapters_of_the_language_models_projections_are_trained(kind, folders):
    model = add_lora(load_model(folders[kind]), SMALL, folders[kind])
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert len(trained) == 2 * 2 * len(PROJECTIONS)  # two matrices, two layers
    assert all("lora_" in name and "vision" not in name for name in trained)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == set(PROJECTIONS)
    assert model.peft_config["default"].base_model_name_or_path == folders[kind]


def test_new_adapters_change_no_output_and_training_them_does_not_change_the_base(folders):
    import torch

    base = load_model(folders["text"]).eval()
    before = logits_of(base)
    model = add_lora(load_model(folders["text"]), SMALL, "base").eval()
    assert torch.equal(logits_of(model), before)
    train(model.train())
    assert not torch.allclose(logits_of(model), before, atol=1e-2)
    with model.disable_adapter():
        assert torch.equal(logits_of(model), before)


def test_a_saved_adapter_can_be_loaded(folders, tmp_path):
    import torch

    model = train(add_lora(load_model(folders["text"]), SMALL, folders["text"]))
    save_adapter(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    loaded = load_adapter(load_model(folders["text"]), tmp_path, trainable=True)
    assert torch.equal(logits_of(loaded.eval()), logits_of(model))
    trained = [each for each in loaded.parameters() if each.requires_grad]
    assert len(trained) == 28
    frozen = load_adapter(load_model(folders["text"]), tmp_path, trainable=False)
    assert not any(each.requires_grad for each in frozen.parameters())


def test_gathered_weights_of_partitioned_adapters_are_saved(folders, tmp_path):
    import torch

    model = train(add_lora(load_model(folders["text"]), SMALL, folders["text"]))
    state = {name: each for name, each in model.named_parameters() if each.requires_grad}
    expected = logits_of(model)
    empty = add_lora(load_model(folders["text"]), SMALL, folders["text"])
    save_adapter(empty, tmp_path, state)
    loaded = load_adapter(load_model(folders["text"]), tmp_path, trainable=False)
    assert torch.equal(logits_of(loaded), expected)


def test_targets_by_name(folders):
    model = load_model(folders["text"])
    assert resolve_target_modules(model, "q_proj, v_proj") == ["q_proj", "v_proj"]
    with pytest.raises(UsageError, match="no linear layer called query; it has down_proj, gate_"):
        resolve_target_modules(model, "q_proj,query")
    with pytest.raises(UsageError, match="no linear layer"):
        resolve_target_modules(model, ",")
    pattern = resolve_target_modules(load_model(folders["llava"]), "q_proj")
    assert pattern == r"model\.language_model\.(?:.*\.)?(?:q_proj)"


def test_every_linear_layer_of_a_model_with_other_names_gets_adapters():
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(vocab_size=50, hidden_size=32, n_layer=1, n_head=2)
    names = resolve_target_modules(BloomForCausalLM(config), "all-linear")
    assert names == ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]


@pytest.mark.parametrize("bits", [4, 8])
def test_qlora_is_refused_without_a_gpu(bits):
    with pytest.raises(UsageError, match="QLoRA needs a GPU, and this machine has none"):
        check_lora(Lora(bits=bits), has_gpu=False)
    check_lora(Lora(bits=bits), has_gpu=True)
    check_lora(Lora(), has_gpu=False)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (Lora(rank=0), "rank of 1 or more"),
        (Lora(dropout=1.0), r"dropout in \[0, 1\)"),
        (Lora(bits=3), "4 or 8 bits, not to 3"),
    ],
)
def test_invalid_values_are_refused(lora, message):
    with pytest.raises(UsageError, match=message):
        check_lora(lora, has_gpu=True)


def test_the_quantization_of_a_base():
    import torch

    four = quantization(Lora(bits=4), torch.bfloat16)
    assert four.load_in_4bit and four.bnb_4bit_quant_type == "nf4"
    assert four.bnb_4bit_quant_storage == torch.bfloat16  # so that ZeRO-3 can partition it
    eight = quantization(Lora(bits=8), torch.bfloat16)
    assert eight.load_in_8bit and not eight.load_in_4bit


@pytest.mark.parametrize("module", ["peft", "bitsandbytes"])
def test_a_missing_library_is_named(module, folders, monkeypatch):
    from seqit.llm.providers.local import libraries

    absent = dict(libraries.packages_distributions())
    absent.pop(module)
    monkeypatch.setattr(libraries, "packages_distributions", lambda: absent)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SeqitError, match=rf"{module} is not installed.*seqit\[train\]"):
        if module == "peft":
            add_lora(load_model(folders["text"]), SMALL, "b")
        else:
            quantization(Lora(bits=4), None)


def test_adapters_that_do_not_fit_are_refused(folders, tmp_path):
    def saved(name, lora, kind="text"):
        save_adapter(add_lora(load_model(folders[kind]), lora, "b"), tmp_path / name)
        return tmp_path / name

    llava = saved("llava", SMALL, "llava")
    with pytest.raises(SeqitError, match="does not fit the base"):
        load_adapter(load_model(folders["text"]), llava, trainable=False)
    # A configuration with more modules than there are weights for, and one with fewer.
    few, many = saved("few", Lora(rank=4, targets="q_proj")), saved("many", SMALL)
    config = json.loads((few / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj", "v_proj"]
    (few / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SeqitError, match="4 of its weights are missing and 0 are unexpected"):
        load_adapter(load_model(folders["text"]), few, trainable=False)
    config = json.loads((many / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj"]
    (many / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SeqitError, match="0 of its weights are missing and 24 are unexpected"):
        load_adapter(load_model(folders["text"]), many, trainable=False)
    (many / "adapter_model.safetensors").unlink()
    with pytest.raises(SeqitError, match=r"no adapter_model\.safetensors"):
        load_adapter(load_model(folders["text"]), many, trainable=False)
