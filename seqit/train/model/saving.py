"""Write the trained model into the folder of the run, completely or not at all."""

import os
import shutil
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import find_model
from seqit.train.data.encoder import encoder_for
from seqit.train.model.folder import MAX_SHARD_SIZE, add_eos_tokens, copy_settings, fsync
from seqit.train.model.lora import save_adapter
from seqit.train.recipe import TrainRecipe

MARKERS = ("config.json", "adapter_config.json")
"""Files that identify a model's folder; they are moved last."""


def save_model(engine: Any, recipe: TrainRecipe, rank: int) -> None:
    """Gather the weights and write them on rank 0; called by every rank.

    Raises SeqitError if the disk is full; the checkpoints are kept.
    """
    model = engine.module
    weights = _gather_weights(model, rank, only_trained=recipe.lora is not None)
    if rank:
        return
    out = Path(recipe.output)
    partial = out / ".model.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if recipe.lora:
            save_adapter(model, partial, weights)
        else:
            model.save_pretrained(partial, state_dict=weights, max_shard_size=MAX_SHARD_SIZE)
        _add_tokenizer(recipe, partial)
        _fsync_files(partial)
        _move(partial, out)
    except OSError as error:
        raise _write_error(out, error.strerror or str(error)) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _write_error(out, str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_error(out: Path, reason: str) -> SeqitError:
    return SeqitError(
        f"the model cannot be written to {out}: {reason}. The last checkpoint is complete: free "
        "disk space, then continue with --resume"
    )


def _gather_weights(model: Any, rank: int, *, only_trained: bool) -> dict[str, Any]:
    """Return the weights by name on rank 0, on the CPU, and an empty dict on the other ranks."""
    from deepspeed.runtime.zero.partition_parameters import GatheredParameters

    weights: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if only_trained and not parameter.requires_grad:
            continue
        with GatheredParameters([parameter]):
            if rank == 0:
                weights[name] = parameter.detach().to("cpu", copy=True)
    if rank == 0 and not only_trained:
        persistent = model.state_dict().keys()
        weights |= {n: b.detach().cpu() for n, b in model.named_buffers() if n in persistent}
    return weights


def _add_tokenizer(recipe: TrainRecipe, folder: Path) -> None:
    """Copy the tokenizer and the chat template that the rows were encoded with."""
    base = Path(find_model(recipe.model, recipe.revision).folder())
    copy_settings([base], folder, recipe.template)
    add_eos_tokens(folder, encoder_for(recipe).end_token_ids)


def _fsync_files(folder: Path) -> None:
    """Set the default permissions (safetensors makes its files private) and flush to disk."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
        fsync(path)


def _move(folder: Path, out: Path) -> None:
    """Move the files to `out`, those in MARKERS last."""
    for stale in (*out.glob("*.safetensors"), *out.glob("*.safetensors.index.json")):
        stale.unlink()
    for path in sorted(folder.iterdir(), key=lambda path: path.name in MARKERS):
        if (target := out / path.name).is_dir():
            shutil.rmtree(target)
        path.rename(target)
    fsync(out)
