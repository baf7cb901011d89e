"""Load the model for training: dtype, attention, adapters, gradient checkpointing."""

import inspect
from importlib.util import find_spec
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.providers.local.vision import is_vision_model
from seqit.train.data.vision import auto_class_for, freeze
from seqit.train.model.lora import add_lora, check_lora, quantization
from seqit.train.recipe import TrainRecipe


def load_for_training(recipe: TrainRecipe, config: dict[str, Any], device: Any) -> Any:
    """Return the model on `device`, with its adapters, ready for DeepSpeed.

    config: DeepSpeed's; under stage 3 each weight is partitioned over the ranks as it is read.
    Raises SeqitError with the library's message if loading fails.
    """
    import torch
    from transformers.integrations.deepspeed import HfDeepSpeedConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = find_model(recipe.model, recipe.revision).folder()
    has_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {
        "dtype": dtype_of(recipe, has_gpu),
        "attn_implementation": attention_of(recipe, has_gpu),
    }
    stage3 = config["zero_optimization"]["stage"] == 3
    if recipe.lora:
        check_lora(recipe.lora, has_gpu=has_gpu)
        if recipe.lora.bits and stage3:
            raise UsageError("QLoRA's weights are not partitioned; use --zero 0, 1 or 2")
        if recipe.lora.bits:
            dtype = getattr(torch, dtype_of(recipe, has_gpu))
            options["quantization_config"] = quantization(recipe.lora, dtype)
            options["device_map"] = {"": device}
    # While this object is alive, transformers partitions weights as it loads them.
    partitioning = HfDeepSpeedConfig(config) if stage3 else None
    try:
        model = auto_class_for(folder).from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:
        raise SeqitError(f"transformers cannot load {recipe.model}: {error}") from error
    del partitioning
    if recipe.data.packing:
        check_packable(model)
    if recipe.memory.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if has_gpu and find_spec("liger_kernel"):
        from transformers.integrations.liger import apply_liger_kernel

        apply_liger_kernel(model, None)
    if not stage3 and "device_map" not in options:
        model = model.to(device)
    if recipe.lora:
        return add_lora(model, recipe.lora, recipe.model)
    if is_vision_model(folder):
        freeze(model)
    return model


def dtype_of(recipe: TrainRecipe, has_gpu: bool) -> str:
    """Return the dtype of the weights in forward and backward passes."""
    return recipe.memory.dtype or ("bfloat16" if has_gpu else "float32")


def attention_of(recipe: TrainRecipe, has_gpu: bool) -> str:
    """Return transformers' attn_implementation: FlashAttention if it is installed."""
    flash = has_gpu and find_spec("flash_attn") and dtype_of(recipe, has_gpu) != "float32"
    return recipe.memory.attention or ("flash_attention_2" if flash else "sdpa")


def check_packable(model: Any) -> None:
    """Raise UsageError for a model in which packed rows would attend to each other."""
    name = type(model).__name__
    advice = "train it with packing: false (--no-packing)"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise UsageError(f"{name} takes no position_ids, so rows cannot be packed; {advice}")
    if getattr(model, "_is_stateful", False):
        raise UsageError(f"{name} would carry state from one packed row to the next; {advice}")
