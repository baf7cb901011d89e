"""Build DeepSpeed's configuration from the recipe and an optional JSON file of the user."""

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from seqit.errors import SeqitError, UsageError

RECIPE_SECTIONS = (
    *("optimizer", "scheduler", "fp16", "amp", "torch_autocast", "checkpoint"),
    "elasticity",
)
"""Sections that the user's file must not have: the recipe decides them."""


class DeepSpeedSettings(NamedTuple):
    """The values of the recipe and of the run that DeepSpeed needs.

    stage: 0 to 3; offload: None, "cpu" or "nvme:FOLDER"; dtype: "bfloat16" or "float32".
    """

    stage: int
    offload: str | None
    dtype: str
    ranks: int
    max_grad_norm: float
    pin_memory: bool = True


def deepspeed_config(settings: DeepSpeedSettings, file: str | None = None) -> dict[str, Any]:
    """Return the configuration for `deepspeed.initialize`, overridden by the settings in `file`.

    The training loop accumulates gradients itself, so DeepSpeed's own accumulation is 1. The
    optimizer is PyTorch's, which needs no compiler on the user's machine. Raises UsageError for
    values that exclude each other, and for a file that contradicts the recipe.
    """
    stage = settings.stage
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": settings.ranks,
        "gradient_clipping": settings.max_grad_norm,
        "steps_per_print": None,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": _zero_config(settings),
    }
    if settings.dtype == "bfloat16":
        config["bf16"] = {"enabled": True}
        if stage:  # stage 0 accumulates gradients in the dtype of the weights
            config["data_types"] = {"grad_accum_dtype": "fp32"}
    elif settings.dtype != "float32":
        raise UsageError(f"dtype must be bfloat16 or float32, not {settings.dtype}")
    return merge_user_config(config, _read_config(file), file) if file else config


def _zero_config(settings: DeepSpeedSettings) -> dict[str, Any]:
    stage, offload, pin = settings.stage, settings.offload, settings.pin_memory
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": stage > 0, "contiguous_gradients": True}
    if not offload:
        return zero
    if offload == "cpu":
        if stage == 0:
            raise UsageError("offload: cpu needs ZeRO 1, 2 or 3; stage 0 offloads nothing")
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pin}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": pin}
        return zero
    kind, _, folder = offload.partition(":")
    if kind != "nvme" or not folder:
        raise UsageError(f"offload must be cpu or nvme:FOLDER, not {offload}")
    if stage != 3:
        raise UsageError(f"offload: nvme needs ZeRO 3, not stage {stage}")
    for part in ("offload_optimizer", "offload_param"):
        zero[part] = {"device": "nvme", "nvme_path": folder, "pin_memory": pin}
    return zero


def _read_config(file: str) -> dict[str, Any]:
    try:
        value = orjson.loads(Path(file).read_bytes())
    except OSError as error:
        raise SeqitError(f"{file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{file} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{file} is not a JSON object, as DeepSpeed's configuration is")
    return value


def merge_user_config(config: dict[str, Any], user: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the configuration overridden by the user's values, except "auto".

    Raises UsageError if the user's file contradicts the recipe.
    """
    for name in RECIPE_SECTIONS:
        section = user.get(name)
        if section in (None, "auto") or section == {"enabled": False}:
            continue
        if isinstance(section, dict) and section.get("enabled") == "auto":
            continue
        raise UsageError(f"{file}: remove {name}; the recipe decides it")
    recipe_keys = (
        *("train_batch_size", "gradient_accumulation_steps"),
        "train_micro_batch_size_per_gpu",
    )
    for name in (*recipe_keys, "gradient_clipping"):
        if name == "gradient_clipping" and user.get(name) == config[name]:
            continue
        if user.get(name, "auto") != "auto":
            raise UsageError(f'{file}: the recipe decides {name}; remove it, or set it to "auto"')
    stage = user.get("zero_optimization", {}).get("stage", "auto")
    if stage not in ("auto", config["zero_optimization"]["stage"]):
        raise UsageError(
            f"{file}: ZeRO stage {stage}, but the recipe says "
            f"{config['zero_optimization']['stage']}; set --zero to the same stage"
        )
    ignored = (*RECIPE_SECTIONS, *recipe_keys)
    overrides = {k: v for k, v in user.items() if k not in ignored and v != "auto"}
    return _merge_dicts(config, overrides)


def _merge_dicts(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in overrides.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = _merge_dicts(result[name], value)
        elif value != "auto":
            result[name] = value
    return result
