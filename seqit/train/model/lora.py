"""LoRA and QLoRA: small matrices beside the frozen weights, by peft."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.model_files import installed_version
from seqit.train.recipe import Lora

if TYPE_CHECKING:
    import torch

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What the paper's adapters lie beside (arXiv 2403.07794), as Llama and its kin name it."""

ADAPTER_FILE = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def check_lora(lora: Lora, *, has_gpu: bool) -> None:
    """Raise UsageError where the adapters cannot be had on this machine, or at all."""
    if lora.rank < 1 or not 0 <= lora.dropout < 1:
        raise UsageError(
            f"an adapter has a rank of 1 or more and a dropout in [0, 1), not {lora.rank} and "
            f"{lora.dropout}"
        )
    if lora.bits not in (None, 4, 8):
        raise UsageError(f"QLoRA holds the base in 4 or 8 bits, not in {lora.bits}")
    if lora.bits and not has_gpu:
        raise UsageError(
            "QLoRA needs a GPU, and there is none here: leave the bits away, which trains the same "
            "adapters beside whole weights, or run it on a machine with a GPU"
        )


def quantization(lora: Lora, dtype: "torch.dtype") -> Any:
    """Return how the base is held for QLoRA: transformers' quantization_config.

    The weights are stored as numbers of `dtype`, so that ZeRO-3 and FSDP can share them out.
    Raises SeqitError where bitsandbytes is missing.
    """
    installed_version("bitsandbytes", "train")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=lora.bits == 4,
        load_in_8bit=lora.bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype,
    )


def add_lora(model: Any, lora: Lora, base: str) -> Any:
    """Return the model with new adapters, which alone are trained; the output stays the same.

    base: the folder or the hub name that the adapter says it belongs to. Raises UsageError where
    no module has a name that `lora.targets` gives.
    """
    installed_version("peft", "train")
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets_of(model, lora.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    if lora.bits:
        # Checkpointing is for the loop to switch on, for all kinds of models in one place.
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, config)
    model.peft_config["default"].base_model_name_or_path = base
    return model


def targets_of(model: Any, wanted: str) -> list[str] | str:
    """Return what peft is told of the modules: their last names, or a pattern of the whole ones.

    An image's encoder often has the projections' names too; adapters lie in the language model
    alone. A model whose projections are called otherwise gets them beside every linear layer.
    """
    inside = _language_model(model)
    linear = _linear_names(model, inside)
    if wanted != "all-linear":
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        if absent := [name for name in names if name not in linear] or not names:
            said = ", ".join(absent) if isinstance(absent, list) else "that"
            raise UsageError(
                f"the model has no linear layer called {said}; it has {', '.join(sorted(linear))}"
            )
    else:
        names = [name for name in PROJECTIONS if name in linear] or sorted(linear)
    if not names:
        raise UsageError("the model has no linear layer that an adapter could lie beside")
    if not inside:
        return names
    return rf"{re.escape(inside)}\.(?:.*\.)?(?:{'|'.join(map(re.escape, names))})"


def save_adapter(model: Any, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Write the adapters and their settings; `state`: the weights, where ranks share them out."""
    # The embedding is never trained; left to itself, peft asks the hub whether it could have been.
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's card: the run writes one that says more


def load_adapter(model: Any, folder: Path, *, trainable: bool) -> Any:
    """Return the base with the adapters of a folder.

    Raises SeqitError where they do not fit: peft itself is content with weights that it does not
    find.
    """
    installed_version("peft", "train")
    from peft import PeftConfig, PeftModel

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise SeqitError(f"{folder} has {ADAPTER_FILE}, but no {ADAPTER_WEIGHTS}")
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = not trainable
        loaded = PeftModel(model, config)
        result = loaded.load_adapter(str(folder), "default", is_trainable=trainable)
    except Exception as error:  # shapes, a broken file: the library's own sentence says which
        raise SeqitError(f"the adapter in {folder} does not fit the base: {error}") from error
    missing = [key for key in result.missing_keys if "lora_" in key]
    if missing or result.unexpected_keys:
        named = [*missing, *result.unexpected_keys]
        raise SeqitError(
            f"the adapter in {folder} is of another base: {len(missing)} of its weights are "
            f"missing and {len(result.unexpected_keys)} have no place, as {named[0]}"
        )
    return loaded


def _language_model(model: Any) -> str:
    """Return the name of the module that is the language model, "" where the whole model is."""
    if not any(hasattr(model.config, name) for name in ("vision_config", "audio_config")):
        return ""
    decoder = model.get_decoder()
    return next((name for name, module in model.named_modules() if module is decoder), "")


def _linear_names(model: Any, inside: str) -> set[str]:
    """Return the last names of the linear layers, without the one that gives the logits."""
    import torch

    head = model.get_output_embeddings()
    # GPT-2 and its kin have layers of transformers' own kind in their place.
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
        and module is not head
        and (not inside or name.startswith(f"{inside}."))
    }
