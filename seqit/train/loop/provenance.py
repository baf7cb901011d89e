"""Write training.json: everything that is needed to reproduce the model."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from seqit.llm.providers.local.model_files import find_model
from seqit.stores.targets import atomic_file
from seqit.train.data.dataset import load_counts
from seqit.train.recipe import PROVENANCE_FILE, TrainRecipe

MIX_PLAN_FILE = "plan.json"
LIBRARIES = ("seqit", "torch", "transformers", "deepspeed", "peft", "accelerate", "datasets")


def write_provenance(recipe: TrainRecipe, ranks: int, results: dict[str, Any]) -> dict[str, Any]:
    """Write OUT/training.json, which matches schemas/training.schema.json, and return its content.

    results: steps, tokens, targets (supervised tokens), and the last metrics.
    """
    base = find_model(recipe.model, recipe.revision)
    counts = load_counts(recipe.tokens or "")
    provenance: dict[str, Any] = {
        "recipe": recipe.to_dict(),
        "base": {"model": base.model, "revision": base.revision},
        "data": counts.pop("sources", {}),
        "mixtures": [orjson.loads(path.read_bytes()) for path in _mixture_plans(recipe)],
        "counts": counts,
        "ranks": ranks,
        **results,
        "libraries": _library_versions(),
        "python": platform.python_version(),
        "devices": _devices(),
        "git": _git_state(),
    }
    with atomic_file(str(Path(recipe.output) / PROVENANCE_FILE)) as file:
        file.write(orjson.dumps(provenance, option=orjson.OPT_INDENT_2))
    return provenance


def _mixture_plans(recipe: TrainRecipe) -> list[Path]:
    """Return the plan files that `seqit mix` has written next to the sources."""
    paths = {Path(name).parent / MIX_PLAN_FILE: None for name in recipe.data.sources}
    return [path for path in paths if path.is_file()]


def _library_versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _devices() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _git_state() -> dict[str, Any] | None:
    """Return the git revision of the working directory, and whether it has changes; else None."""
    try:
        revision = _git_output("rev-parse", "HEAD")
        changed = bool(_git_output("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"revision": revision, "changed": changed}


def _git_output(*arguments: str) -> str:
    command = ("git", *arguments)
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.strip()
