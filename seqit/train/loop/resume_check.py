"""Which run a checkpoint is of: one that goes on has to compute what the first part computed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqit.train.recipe import TrainRecipe


def resume_fingerprint(recipe: TrainRecipe) -> dict[str, Any]:
    """Return what of a recipe decides the numbers; the files' names do not, nor the ranks."""
    everything = recipe.to_dict()
    kept = {name: everything[name] for name in ("model", "revision", "data", "tuning", "lora")}
    kept["data"] = {k: v for k, v in kept["data"].items() if k not in ("sources", "eval")}
    kept["tuning"] = {k: v for k, v in kept["tuning"].items() if k != "micro_batch"}
    kept["tokens"] = Path(recipe.tokens).name if recipe.tokens else None
    return kept


def differences(mine: dict[str, Any], theirs: dict[str, Any], within: str = "") -> Iterator[str]:
    """Yield the fields in which two recipes differ, as in ``tuning.lr``."""
    for name in sorted({*mine, *theirs}):
        one, other = mine.get(name), theirs.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other, f"{within}{name}.")
        elif one != other:
            yield f"{within}{name}"
