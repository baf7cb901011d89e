"""training.json beside the model: what made it, so that it can be made again."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from seqit.llm.providers.local.model_files import find_model
from seqit.stores.targets import whole_file
from seqit.train.data.dataset import counts_of
from seqit.train.recipe import PROVENANCE_FILE, TrainRecipe

PLAN = "plan.json"
LIBRARIES = ("seqit", "torch", "transformers", "deepspeed", "peft", "accelerate", "datasets")


def write_provenance(recipe: TrainRecipe, ranks: int, run: dict[str, Any]) -> dict[str, Any]:
    """Write OUT/training.json, as schemas/training.schema.json has it, and return what it says.

    run: steps, tokens and targets seen, the last metrics.
    """
    found = find_model(recipe.model, recipe.revision)
    counts = counts_of(recipe.tokens or "")
    record: dict[str, Any] = {
        "recipe": recipe.to_dict(),
        "base": {"model": found.model, "revision": found.revision},
        "data": counts.pop("sources", {}),
        "mixtures": [orjson.loads(path.read_bytes()) for path in _plans(recipe)],
        "counts": counts,
        "ranks": ranks,
        **run,
        "libraries": _versions(),
        "python": platform.python_version(),
        "devices": _devices(),
        "git": _git(),
    }
    with whole_file(str(Path(recipe.out) / PROVENANCE_FILE)) as file:
        file.write(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return record


def _plans(recipe: TrainRecipe) -> list[Path]:
    """Return the mixtures' plans, which `seqit mix` writes beside its shards."""
    beside = {Path(name).parent / PLAN: None for name in recipe.data.sources}
    return [path for path in beside if path.is_file()]


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _devices() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _git() -> dict[str, Any] | None:
    """Return the revision of the folder that the run was started in, and whether it is changed."""
    try:
        revision = _said("rev-parse", "HEAD")
        changed = bool(_said("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"revision": revision, "changed": changed}


def _said(*arguments: str) -> str:
    command = ("git", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
