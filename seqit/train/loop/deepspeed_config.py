"""DeepSpeed's settings, made from the recipe; the user writes none, or adds a file of his own."""

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from seqit.errors import SeqitError, UsageError

OURS = ("optimizer", "scheduler", "fp16", "amp", "torch_autocast", "checkpoint", "elasticity")
"""Sections that a file of the user's cannot have: seqit does what they would decide."""


class Settings(NamedTuple):
    """What DeepSpeed needs to know.

    stage: 0 to 3; offload: None, "cpu" or "nvme:FOLDER"; dtype: "bfloat16" or "float32".
    """

    stage: int
    offload: str | None
    dtype: str
    ranks: int
    max_grad_norm: float
    pin_memory: bool = True


def deepspeed_config(settings: Settings, file: str | None = None) -> dict[str, Any]:
    """Return the configuration for `deepspeed.initialize`, with what is in `file` over it.

    Micro-batches are counted by the loop itself, so DeepSpeed is told of one a step. The optimizer
    is PyTorch's, which needs no compiler on the user's machine. Raises UsageError for what cannot
    go together, and for a file that would decide what the recipe decides.
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
        "zero_optimization": _zero(settings),
    }
    if settings.dtype == "bfloat16":
        config["bf16"] = {"enabled": True}
        if stage:  # stage 0 sums micro-batches in the weights' own type
            config["data_types"] = {"grad_accum_dtype": "fp32"}
    elif settings.dtype != "float32":
        raise UsageError(f"dtype is bfloat16 or float32, not {settings.dtype}")
    return merged(config, _read(file), file) if file else config


def _zero(settings: Settings) -> dict[str, Any]:
    stage, offload, pin = settings.stage, settings.offload, settings.pin_memory
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": stage > 0, "contiguous_gradients": True}
    if not offload:
        return zero
    if offload == "cpu":
        if stage == 0:
            raise UsageError("offload: cpu needs ZeRO 1, 2 or 3; stage 0 keeps all on the GPU")
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pin}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": pin}
        return zero
    kind, _, folder = offload.partition(":")
    if kind != "nvme" or not folder:
        raise UsageError(f"offload is cpu or nvme:FOLDER, not {offload}")
    if stage != 3:
        raise UsageError(f"offload: nvme needs ZeRO 3, not stage {stage}")
    for part in ("offload_optimizer", "offload_param"):
        zero[part] = {"device": "nvme", "nvme_path": folder, "pin_memory": pin}
    return zero


def _read(file: str) -> dict[str, Any]:
    try:
        value = orjson.loads(Path(file).read_bytes())
    except OSError as error:
        raise SeqitError(f"{file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{file} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{file} is not a JSON object, as DeepSpeed's configuration is")
    return value


def merged(config: dict[str, Any], own: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the configuration with the user's values over it; "auto" leaves ours.

    Raises UsageError where his file says otherwise than the recipe.
    """
    for name in OURS:
        section = own.get(name)
        if section in (None, "auto") or section == {"enabled": False}:
            continue
        if isinstance(section, dict) and section.get("enabled") == "auto":
            continue
        raise UsageError(f"{file}: leave out {name}; the recipe decides it")
    decided = ("train_batch_size", "gradient_accumulation_steps", "train_micro_batch_size_per_gpu")
    for name in (*decided, "gradient_clipping"):
        if name == "gradient_clipping" and own.get(name) == config[name]:
            continue
        if own.get(name, "auto") != "auto":
            raise UsageError(f'{file}: {name} is the recipe\'s; leave it out, or write "auto"')
    stage = own.get("zero_optimization", {}).get("stage", "auto")
    if stage not in ("auto", config["zero_optimization"]["stage"]):
        raise UsageError(
            f"{file}: ZeRO stage {stage}, but the recipe says "
            f"{config['zero_optimization']['stage']}; give the same to --zero"
        )
    kept = {k: v for k, v in own.items() if k not in (*OURS, *decided) and v != "auto"}
    return _over(config, kept)


def _over(ours: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    result = dict(ours)
    for name, value in own.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = _over(result[name], value)
        elif value != "auto":
            result[name] = value
    return result
