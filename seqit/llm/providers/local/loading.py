"""Loads a causal or vision-language model with transformers."""

from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.llm.providers.local.libraries import installed_version

UNLIMITED = 1 << 30


class LoadOptions(NamedTuple):
    """Options of loading; `bits`: 4 or 8 for quantization with bitsandbytes, None for none."""

    dtype: str
    device_map: str
    bits: int | None
    attention: str | None


def load_model(folder: str, adapter: str | None, load_options: LoadOptions) -> Any:
    """Return the model in a folder, with the adapter in another folder if given, in eval mode.

    Raises SeqitError with the library's message if that fails.
    """
    if adapter:
        installed_version("peft", "train")
    if load_options.bits:
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
    kwargs: dict[str, Any] = {"device_map": load_options.device_map}
    if load_options.attention:
        kwargs["attn_implementation"] = load_options.attention
    if load_options.bits:
        kwargs["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=load_options.bits == 4,
            load_in_8bit=load_options.bits == 8,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kwargs["dtype"] = _dtype(
            load_options, config.dtype == torch.float32, torch.cuda.is_available()
        )
        is_vision = hasattr(config, "vision_config")
        kind = AutoModelForImageTextToText if is_vision else AutoModelForCausalLM
        model = kind.from_pretrained(folder, trust_remote_code=False, **kwargs)
        if adapter:
            model.load_adapter(adapter)
    except Exception as error:
        raise SeqitError(f"transformers cannot load {folder}: {error}") from error
    return model.eval()


def take_generation_settings(model: Any, tokenizer: Any) -> tuple[frozenset[int], int]:
    """Return the tokens that end a turn, and the model's maximum length in tokens.

    All other settings in the model's generation config are reset.
    """
    from transformers import GenerationConfig

    end_tokens = model.generation_config.eos_token_id
    if end_tokens is None:
        end_tokens = tokenizer.eos_token_id
    model.generation_config = GenerationConfig()
    if hasattr(model, "language_model"):  # InstructBLIP generates with this one
        model.language_model.generation_config = GenerationConfig()
    text = model.config.get_text_config()
    max_length = getattr(text, "max_position_embeddings", None) or UNLIMITED
    return frozenset([end_tokens] if isinstance(end_tokens, int) else end_tokens or ()), max_length


def _dtype(load_options: LoadOptions, is_float32: bool, has_gpu: bool) -> str:
    if load_options.dtype != "auto":
        return load_options.dtype
    if load_options.bits:
        return "float16" if load_options.bits == 8 else "bfloat16"  # what bitsandbytes computes in
    return "bfloat16" if is_float32 and has_gpu else "auto"
