"""Loads a causal or vision-language model with transformers, as the user wants it."""

from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import installed_version

UNLIMITED = 1 << 30


class Loading(NamedTuple):
    """How a model is loaded; `bits`: 4 or 8 with bitsandbytes, None for whole numbers of dtype."""

    dtype: str
    device_map: str
    bits: int | None
    attention: str | None


def load_model(folder: str, adapter: str | None, loading: Loading) -> Any:
    """Return the model in a folder, with the adapter in another, ready to generate.

    Raises SeqitError with the library's own sentence where that fails.
    """
    if adapter:
        installed_version("peft", "train")
    if loading.bits:
        installed_version("bitsandbytes", "train")
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        BitsAndBytesConfig,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    options: dict[str, Any] = {"device_map": loading.device_map}
    if loading.attention:
        options["attn_implementation"] = loading.attention
    if loading.bits:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=loading.bits == 4,
            load_in_8bit=loading.bits == 8,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        options["dtype"] = _dtype(loading, config.dtype == torch.float32, torch.cuda.is_available())
        sees = hasattr(config, "vision_config")
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model = kind.from_pretrained(folder, trust_remote_code=False, **options)
        if adapter:
            model.load_adapter(adapter)
    except Exception as error:
        raise SeqitError(f"transformers cannot load {folder}: {error}") from error
    return model.eval()


def take_settings(model: Any, tokenizer: Any) -> tuple[frozenset[int], int]:
    """Return the tokens that end a turn, and how many tokens the model takes.

    All else that the model's settings say of generating is put aside.
    """
    from transformers import GenerationConfig

    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    model.generation_config = GenerationConfig()
    if hasattr(model, "language_model"):  # InstructBLIP's, which it hands on to
        model.language_model.generation_config = GenerationConfig()
    text = model.config.get_text_config()
    longest = getattr(text, "max_position_embeddings", None) or UNLIMITED
    return frozenset([ends] if isinstance(ends, int) else ends or ()), longest


def _dtype(loading: Loading, is_float32: bool, has_gpu: bool) -> str:
    if loading.dtype != "auto":
        return loading.dtype
    if loading.bits:
        return "float16" if loading.bits == 8 else "bfloat16"  # what bitsandbytes computes in
    return "bfloat16" if is_float32 and has_gpu else "auto"
