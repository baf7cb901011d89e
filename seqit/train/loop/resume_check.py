"""Check that a resumed run has the recipe of the run that wrote the checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqit.train.recipe import TrainRecipe


def resume_fingerprint(recipe: TrainRecipe) -> dict[str, Any]:
    """Return the fields of a recipe that decide the results; file names and ranks do not."""
    fields = recipe.to_dict()
    fingerprint = {name: fields[name] for name in ("model", "revision", "data", "tuning", "lora")}
    data, tuning = fields["data"], fields["tuning"]
    fingerprint["data"] = {k: v for k, v in data.items() if k not in ("sources", "eval")}
    fingerprint["tuning"] = {k: v for k, v in tuning.items() if k != "micro_batch"}
    fingerprint["tokens"] = Path(recipe.tokens).name if recipe.tokens else None
    return fingerprint


def differences(first: dict[str, Any], second: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of the fields that differ, such as ``tuning.learning_rate``."""
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from differences(a, b, f"{prefix}{name}.")
        elif a != b:
            yield f"{prefix}{name}"
