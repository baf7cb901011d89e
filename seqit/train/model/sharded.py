"""Gather the weights of a DeepSpeed checkpoint from the shards of its ranks."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.libraries import installed_version

LATEST_FILE = "latest"
"""The file in which DeepSpeed names the newest checkpoint of a folder."""

_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def is_deepspeed_checkpoint(folder: Path) -> bool:
    """Return True if DeepSpeed's `save_checkpoint` wrote the folder."""
    return (folder / LATEST_FILE).is_file()


def gather_weights(folder: Path) -> dict[str, Any]:
    """Return the full weights of the newest checkpoint by name, in float32 on the CPU.

    Supports ZeRO 0 to 3. The files are pickles: only tensors, plain values and four classes of
    DeepSpeed are unpickled. Raises SeqitError if a file is missing or corrupt.
    """
    installed_version("deepspeed", "train")
    tag = (folder / LATEST_FILE).read_text().strip()
    if not tag or not (folder / tag).is_dir():
        raise SeqitError(f"{folder / LATEST_FILE} names {tag!r}, which does not exist")
    try:
        with _safe_unpickling(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return _load_weights(folder, tag)
    except Exception as error:  # truncated files raise errors of any type
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise SeqitError(f"the checkpoint in {folder / tag} cannot be read: {reason}") from error


def _load_weights(folder: Path, tag: str) -> dict[str, Any]:
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    if list((folder / tag).glob("*zero_pp_rank_*optim_states.pt")):
        state: dict[str, Any] = get_fp32_state_dict_from_zero_checkpoint(str(folder), tag)
        return state
    checkpoint = torch.load(
        folder / tag / "mp_rank_00_model_states.pt", map_location="cpu", weights_only=True
    )
    return {name: tensor.float() for name, tensor in checkpoint["module"].items()}


@contextlib.contextmanager
def _safe_unpickling() -> Iterator[None]:
    """Make torch.load safe inside DeepSpeed, which calls it with weights_only=False."""
    import torch
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    allowed = [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
    try:
        with torch.serialization.safe_globals(allowed):
            yield
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before
