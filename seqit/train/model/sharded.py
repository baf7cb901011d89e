"""Weights that DeepSpeed's ranks left in pieces, put together again."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import installed_version

LATEST = "latest"
"""The file in which DeepSpeed names the newest of its checkpoints in a folder."""

_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def is_sharded(folder: Path) -> bool:
    """Tell whether the folder is one that DeepSpeed's `save_checkpoint` wrote."""
    return (folder / LATEST).is_file()


def gather(folder: Path) -> dict[str, Any]:
    """Return the newest checkpoint's weights, whole, by name, in float32 on the CPU.

    For ZeRO 0 to 3. The files are pickles: only tensors, plain values and four classes of
    DeepSpeed's are let out of them. Raises SeqitError where one is missing or broken.
    """
    installed_version("deepspeed", "train")
    tag = (folder / LATEST).read_text().strip()
    if not tag or not (folder / tag).is_dir():
        raise SeqitError(f"{folder / LATEST} names {tag!r}, which is not there")
    try:
        with _only_tensors(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return _gathered(folder, tag)
    except Exception as error:  # the library raises whatever it likes over files that break off
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SeqitError(f"the checkpoint in {folder / tag} cannot be read: {first}") from error


def _gathered(folder: Path, tag: str) -> dict[str, Any]:
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    if list((folder / tag).glob("*zero_pp_rank_*optim_states.pt")):
        state: dict[str, Any] = get_fp32_state_dict_from_zero_checkpoint(str(folder), tag)
        return state
    whole = torch.load(
        folder / tag / "mp_rank_00_model_states.pt", map_location="cpu", weights_only=True
    )
    return {name: tensor.float() for name, tensor in whole["module"].items()}


@contextlib.contextmanager
def _only_tensors() -> Iterator[None]:
    """Make DeepSpeed's reading of pickles a safe one: it asks torch for everything in them."""
    import torch
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    allowed = [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
    try:
        with torch.serialization.safe_globals(allowed):
            yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before
