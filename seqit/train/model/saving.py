"""Writes the trained model into the folder of the run: all of it, or nothing."""

import os
import shutil
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import find_model
from seqit.train.data.encoder import encoder_of
from seqit.train.model.folder import SHARD, copy_settings, end_at, sync
from seqit.train.model.lora import save_adapter
from seqit.train.recipe import TrainRecipe

MARKERS = ("config.json", "adapter_config.json")
"""What makes a folder a model's: they come last."""


def save_model(engine: Any, recipe: TrainRecipe, rank: int) -> None:
    """Gather the weights, and write them as rank 0; every rank calls it.

    Raises SeqitError where the disk is full; the checkpoints stay.
    """
    model = engine.module
    weights = _gathered(model, rank, only_trained=recipe.lora is not None)
    if rank:
        return
    out = Path(recipe.out)
    partial = out / ".model.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if recipe.lora:
            save_adapter(model, partial, weights)
        else:
            model.save_pretrained(partial, state_dict=weights, max_shard_size=SHARD)
        _add_tokenizer(recipe, partial)
        _settle(partial)
        _move(partial, out)
    except OSError as error:
        raise SeqitError(_unwritten(out, error.strerror or str(error))) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise SeqitError(_unwritten(out, str(error))) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unwritten(out: Path, why: str) -> str:
    return (
        f"the model cannot be written to {out}: {why}. Its last checkpoint is whole: make room, "
        "then go on with --resume"
    )


def _gathered(model: Any, rank: int, *, only_trained: bool) -> dict[str, Any]:
    """Return the weights by name on rank 0, on the CPU; other ranks give their pieces."""
    from deepspeed.runtime.zero.partition_parameters import GatheredParameters

    weights: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if only_trained and not parameter.requires_grad:
            continue
        with GatheredParameters([parameter]):
            if rank == 0:
                weights[name] = parameter.detach().to("cpu", copy=True)
    if rank == 0 and not only_trained:
        kept = model.state_dict().keys()
        weights |= {n: b.detach().cpu() for n, b in model.named_buffers() if n in kept}
    return weights


def _add_tokenizer(recipe: TrainRecipe, folder: Path) -> None:
    """Put tokenizer and template beside the weights: those that the rows were encoded with."""
    base = Path(find_model(recipe.model, recipe.revision).folder())
    copy_settings([base], folder, recipe.template)
    end_at(folder, encoder_of(recipe).ends)


def _settle(folder: Path) -> None:
    """Have the disk hold the files, readable as any new file is: safetensors keeps them private."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
        sync(path)


def _move(folder: Path, out: Path) -> None:
    """Move the files to `out`, the ones that make it a model's folder last."""
    for stale in (*out.glob("*.safetensors"), *out.glob("*.safetensors.index.json")):
        stale.unlink()
    for path in sorted(folder.iterdir(), key=lambda path: path.name in MARKERS):
        if (target := out / path.name).is_dir():
            shutil.rmtree(target)
        path.rename(target)
    sync(out)
