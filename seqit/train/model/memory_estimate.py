"""Estimate the memory of a rank from the model's configuration, before any weight is loaded.

State: Rajbhandari et al. 2020 (arXiv 1910.02054, section 3): weights, gradients, and the
optimizer's float32 copy with two moments, of which ZeRO 1, 2 and 3 partition the last, the last
two and all. Activations: Korthikanti et al. 2022 (arXiv 2205.05198): 34 bytes per token and
hidden unit of a layer in 16 bits, if attention stores no scores; with gradient checkpointing, one
layer's activations at a time and the input of each layer. The logits are also stored in float32,
with their gradient.
"""

import dataclasses
from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.train.recipe import Lora, Memory, TrainRecipe

STAGES = (0, 1, 2, 3)
MOMENT_BYTES = 8
"""Bytes of AdamW's two float32 moments per trainable weight."""

LAYER_VALUES = 17
"""Values that a layer stores per token and hidden unit (34 bytes in 16 bits)."""


class ModelSize(NamedTuple):
    """The sizes that decide a model's memory; parameters: of the base; trainable: with adapters."""

    parameters: int
    trainable: int
    layers: int
    hidden_size: int
    vocab_size: int


class RankLoad(NamedTuple):
    """The tokens of one forward pass of a rank, the number of ranks, and the device."""

    tokens: int
    ranks: int
    has_gpu: bool


class MemoryEstimate(NamedTuple):
    """Bytes that a rank needs on its GPU (or in its process) under one ZeRO stage."""

    stage: int
    state: int
    activations: int

    @property
    def total(self) -> int:
        return self.state + self.activations


def model_size(recipe: TrainRecipe, folder: str) -> ModelSize:
    """Return a model's size from its config.json, without reading or allocating weights.

    Raises SeqitError if transformers cannot build the model.
    """
    import torch
    from transformers import AutoConfig

    from seqit.llm.providers.local.vision import is_vision_model
    from seqit.train.data.vision import auto_class_for, freeze
    from seqit.train.model.lora import add_lora

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = auto_class_for(folder).from_config(config)
    except Exception as error:
        raise SeqitError(f"transformers cannot build a model from {folder}: {error}") from error
    parameters = _count_parameters(model, only_trainable=False)
    if recipe.lora:
        unquantized = dataclasses.replace(recipe.lora, bits=None)
        with torch.device("meta"):
            model = add_lora(model, unquantized, recipe.model)
    elif is_vision_model(folder):
        freeze(model)
    text = config.get_text_config()
    return ModelSize(
        parameters,
        _count_parameters(model, only_trainable=True),
        text.num_hidden_layers,
        text.hidden_size,
        text.vocab_size,
    )


def estimate_memory(
    size: ModelSize, memory: Memory, lora: Lora | None, load: RankLoad
) -> list[MemoryEstimate]:
    """Return the memory of a rank under each ZeRO stage."""
    value_bytes = _bytes_per_value(memory, load.has_gpu)
    activations = _activations(size, memory, load, value_bytes)
    return [MemoryEstimate(s, _state(s, size, memory, lora, load), activations) for s in STAGES]


def _state(stage: int, size: ModelSize, memory: Memory, lora: Lora | None, load: RankLoad) -> int:
    value_bytes = _bytes_per_value(memory, load.has_gpu)
    frozen = size.parameters - (0 if lora else size.trainable)
    frozen_bytes = lora.bits / 8 if lora and lora.bits else value_bytes
    weights = frozen * frozen_bytes + size.trainable * value_bytes
    gradients = size.trainable * (4 if stage else value_bytes)  # float32 except under stage 0
    master_copy = 0 if value_bytes == 4 else 4
    optimizer = size.trainable * (MOMENT_BYTES + master_copy)
    if memory.offload and stage:
        optimizer = 0
        weights = 0 if stage == 3 else weights
    partitioned = [optimizer, gradients, weights][:stage]
    return round(weights + gradients + optimizer - sum(partitioned) * (1 - 1 / load.ranks))


def _activations(size: ModelSize, memory: Memory, load: RankLoad, value_bytes: int) -> int:
    hidden_states = load.tokens * size.hidden_size * value_bytes
    layer = hidden_states * LAYER_VALUES
    layers = hidden_states * size.layers + layer if memory.checkpointing else layer * size.layers
    return layers + load.tokens * size.vocab_size * (value_bytes + 8)


def _bytes_per_value(memory: Memory, has_gpu: bool) -> int:
    dtype = memory.dtype or ("bfloat16" if has_gpu else "float32")
    return 4 if dtype == "float32" else 2


def _count_parameters(model: Any, only_trainable: bool) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not only_trainable)
