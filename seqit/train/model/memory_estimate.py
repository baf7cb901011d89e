"""How much memory a rank needs, before any weight is loaded: an estimate from the configuration.

State: Rajbhandari et al. 2020 (arXiv 1910.02054, section 3): weights, gradients, and the
optimizer's float32 copy with two moments, of which ZeRO 1, 2 and 3 share out the last, the last
two and all. Activations: Korthikanti et al. 2022 (arXiv 2205.05198): 34 bytes for each token and
hidden unit of a layer in 16 bits, where attention keeps no scores; with checkpointing one layer's
at a time, and the input of each. The logits are held in float32 too, with their gradient.
"""

import dataclasses
from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.train.recipe import Lora, Memory, TrainRecipe

STAGES = (0, 1, 2, 3)
MOMENTS = 8
"""Bytes of AdamW's two moments for a trained weight, in float32."""

LAYER = 17
"""Numbers that a layer keeps for each token and hidden unit (34 bytes in 16 bits)."""


class ModelSize(NamedTuple):
    """What of a model decides its memory; parameters of the base, and those that are trained."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    vocabulary: int


class Load(NamedTuple):
    """What one rank computes at once."""

    tokens: int
    ranks: int
    has_gpu: bool


class Need(NamedTuple):
    """Bytes that a rank needs on its GPU (or in its process) under one stage of ZeRO."""

    stage: int
    state: int
    activations: int

    @property
    def total(self) -> int:
        return self.state + self.activations


def size_of(recipe: TrainRecipe, folder: str) -> ModelSize:
    """Return a model's size by its config.json; no weights are read, and none are made.

    Raises SeqitError where transformers knows no such model.
    """
    import torch
    from transformers import AutoConfig

    from seqit.train.data.vision import class_of, freeze, vision_kind
    from seqit.train.model.lora import add_lora

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = class_of(folder).from_config(config)
    except Exception as error:
        raise SeqitError(f"transformers makes no model of {folder}: {error}") from error
    parameters = _count(model, trained=False)
    if recipe.lora:
        whole = dataclasses.replace(recipe.lora, bits=None)
        with torch.device("meta"):
            model = add_lora(model, whole, recipe.model)
    elif vision_kind(folder) != "text":
        freeze(model)
    text = config.get_text_config()
    return ModelSize(
        parameters,
        _count(model, trained=True),
        text.num_hidden_layers,
        text.hidden_size,
        text.vocab_size,
    )


def needs(size: ModelSize, memory: Memory, lora: Lora | None, load: Load) -> list[Need]:
    """Return what a rank needs under each stage of ZeRO."""
    number = _bytes(memory, load.has_gpu)
    activations = _activations(size, memory, load, number)
    return [Need(s, _state(s, size, memory, lora, load), activations) for s in STAGES]


def _state(stage: int, size: ModelSize, memory: Memory, lora: Lora | None, load: Load) -> int:
    number = _bytes(memory, load.has_gpu)
    frozen = size.parameters - (0 if lora else size.trained)
    weights = frozen * (lora.bits / 8 if lora and lora.bits else number) + size.trained * number
    gradients = size.trained * (4 if stage else number)  # summed in float32 but under stage 0
    copy = 0 if number == 4 else 4
    optimizer = size.trained * (MOMENTS + copy)
    if memory.offload and stage:
        optimizer = 0
        weights = 0 if stage == 3 else weights
    shared = [optimizer, gradients, weights][:stage]
    return round(weights + gradients + optimizer - sum(shared) * (1 - 1 / load.ranks))


def _activations(size: ModelSize, memory: Memory, load: Load, number: int) -> int:
    unit = load.tokens * size.hidden * number
    kept = unit * size.layers + unit * LAYER if memory.checkpointing else unit * LAYER * size.layers
    return kept + load.tokens * size.vocabulary * (number + 8)


def _bytes(memory: Memory, has_gpu: bool) -> int:
    dtype = memory.dtype or ("bfloat16" if has_gpu else "float32")
    return 4 if dtype == "float32" else 2


def _count(model: Any, trained: bool) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)
