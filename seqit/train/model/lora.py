"""LoRA and QLoRA adapters, built with peft."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.libraries import installed_version
from seqit.train.recipe import Lora

if TYPE_CHECKING:
    import torch

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The modules that the paper adapts (arXiv 2403.07794), by their names in Llama-like models."""

ADAPTER_FILE = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def check_lora(lora: Lora, *, has_gpu: bool) -> None:
    """Raise UsageError for invalid values, or if QLoRA is requested without a GPU."""
    if lora.rank < 1 or not 0 <= lora.dropout < 1:
        raise UsageError(
            f"an adapter has a rank of 1 or more and a dropout in [0, 1), not {lora.rank} and "
            f"{lora.dropout}"
        )
    if lora.bits not in (None, 4, 8):
        raise UsageError(f"QLoRA quantizes the base to 4 or 8 bits, not to {lora.bits}")
    if lora.bits and not has_gpu:
        raise UsageError(
            "QLoRA needs a GPU, and this machine has none: omit the bits, which trains the same "
            "adapters on unquantized weights, or run it on a machine with a GPU"
        )


def quantization(lora: Lora, dtype: "torch.dtype") -> Any:
    """Return transformers' quantization_config of the base for QLoRA.

    The quantized weights are stored in tensors of `dtype`, so that ZeRO-3 and FSDP can partition
    them. Raises SeqitError if bitsandbytes is not installed.
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
    """Return the model with new adapters, the only trainable weights; its output is unchanged.

    base: the folder or hub name that is recorded as the adapter's base model. Raises UsageError if
    no module has a name that `lora.targets` gives.
    """
    installed_version("peft", "train")
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=resolve_target_modules(model, lora.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    if lora.bits:
        # load_for_training enables gradient checkpointing, for all models in one place.
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, config)
    model.peft_config["default"].base_model_name_or_path = base
    return model


def resolve_target_modules(model: Any, wanted: str) -> list[str] | str:
    """Return peft's target_modules: last components of names, or a pattern of full names.

    A vision encoder often has modules of the same names, so adapters are restricted to the
    language model. If the projections have other names, every linear layer gets an adapter.
    Raises UsageError for unknown names.
    """
    language_model = _language_model_name(model)
    linear = _linear_names(model, language_model)
    if wanted != "all-linear":
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        if absent := [name for name in names if name not in linear] or not names:
            unknown = ", ".join(absent) if isinstance(absent, list) else repr(wanted)
            raise UsageError(
                f"the model has no linear layer called {unknown}; it has "
                f"{', '.join(sorted(linear))}"
            )
    else:
        names = [name for name in PROJECTIONS if name in linear] or sorted(linear)
    if not names:
        raise UsageError("the model has no linear layer for an adapter")
    if not language_model:
        return names
    return rf"{re.escape(language_model)}\.(?:.*\.)?(?:{'|'.join(map(re.escape, names))})"


def save_adapter(model: Any, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Write the adapters and their config; `state`: gathered weights, if ranks partition them."""
    # Embeddings are never trained; by default peft queries the hub to find out if they were.
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's card: the run writes a better one


def load_adapter(model: Any, folder: Path, *, trainable: bool) -> Any:
    """Return the base with the adapters of a folder.

    Raises SeqitError if they do not fit the base: peft itself accepts missing weights.
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
    except Exception as error:  # wrong shapes or a corrupt file: the library's message says which
        raise SeqitError(f"the adapter in {folder} does not fit the base: {error}") from error
    missing = [key for key in result.missing_keys if "lora_" in key]
    if missing or result.unexpected_keys:
        keys = [*missing, *result.unexpected_keys]
        raise SeqitError(
            f"the adapter in {folder} belongs to another base: {len(missing)} of its weights are "
            f"missing and {len(result.unexpected_keys)} are unexpected, for example {keys[0]}"
        )
    return loaded


def _language_model_name(model: Any) -> str:
    """Return the name of the language model's module, "" if it is the whole model."""
    if not any(hasattr(model.config, name) for name in ("vision_config", "audio_config")):
        return ""
    decoder = model.get_decoder()
    return next((name for name, module in model.named_modules() if module is decoder), "")


def _linear_names(model: Any, parent: str) -> set[str]:
    """Return the last name components of the linear layers inside `parent`, except the LM head."""
    import torch

    head = model.get_output_embeddings()
    # GPT-2 and similar models have transformers' Conv1D layers instead.
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
        and module is not head
        and (not parent or name.startswith(f"{parent}."))
    }
