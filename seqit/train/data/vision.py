"""Rows with images: which models take them, what is trained of those, and how rows are encoded.

A micro-batch in which no row has an image gets one more row, of a blank image and without a
target: so every rank runs the same modules at every step, which ZeRO-3 and the exchange of
gradients need. It changes no loss.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.model_files import find_model, installed_version
from seqit.records.record import Record
from seqit.train.data.chat_encoder import Encoded
from seqit.train.data.collator import MicroBatch
from seqit.train.data.conversation import UntrainableRow
from seqit.train.data.dataset import Example
from seqit.train.libraries import silence_training_libraries
from seqit.train.recipe import TrainRecipe

Kind = Literal["text", "chat-vision", "instructblip"]

VISION_TOWERS = ("vision_model", "vision_tower", "visual", "vision_encoder", "vision_embed_tokens")
"""How transformers' models call what looks at the image."""


class VisionEncoder(Protocol):
    """What makes rows tokens, and tokens and images the tensors of a forward pass."""

    tokenizer: Any
    ends: list[int]

    def encode(self, record: Record) -> Encoded:
        """Return the row as tokens, those that images become among them; raises UntrainableRow."""

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return rows as tokens, or why one cannot be."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return tokens as text, control tokens with it."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the tokens, as JSON values."""

    def collate(self, bins: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return rows as tensors; the images are read now. Raises SeqitError where one is gone."""


def vision_kind(folder: str) -> Kind:
    """Tell what a model takes by its config.json; raises SeqitError where that is unreadable."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_bytes())
        if config.get("model_type") == "instructblip":
            return "instructblip"
        return "chat-vision" if "vision_config" in config else "text"
    except (OSError, ValueError, AttributeError) as error:
        raise SeqitError(f"{path} cannot be read: {error}") from None


def class_of(folder: str) -> Any:
    """Return transformers' class that loads the model in a folder."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForCausalLM if vision_kind(folder) == "text" else AutoModelForImageTextToText


def vision_encoder(recipe: TrainRecipe) -> VisionEncoder:
    """Return the encoder of a recipe's model; raises SeqitError where its processor is no good."""
    from seqit.train.data.vision_chat import ChatVision
    from seqit.train.data.vision_instructblip import InstructBlip

    folder = find_model(recipe.model, recipe.revision).folder()
    processor = load_processor(folder)
    template = ChatTemplate(recipe.template, None)
    if vision_kind(folder) == "instructblip":
        return InstructBlip(processor, template, recipe.data.loss, recipe.model)
    return ChatVision(processor, template, recipe.data.loss, recipe.model)


def load_processor(folder: str) -> Any:
    """Return what turns text and images into a model's input, of a folder or a hub name.

    Raises SeqitError with the library's own sentence where that fails, as for lack of torchvision.
    """
    for module in ("torch", "transformers", "PIL"):
        installed_version(module, "train")
    silence_training_libraries()
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        said = " ".join(str(error).split())
        raise SeqitError(
            f"transformers finds no processor of images in {folder}: {said}"
        ) from error


def freeze(model: Any) -> list[str]:
    """Leave untrained what the models' own authors left so; return the names of those modules.

    The image's encoder in all; of InstructBLIP also the language model, so that the Q-Former and
    its projection learn (arXiv 2305.06500).
    """
    frozen: list[str] = []
    wanted = (
        (*VISION_TOWERS, "language_model")
        if model.config.model_type == "instructblip"
        else VISION_TOWERS
    )
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in wanted and not any(name.startswith(f"{f}.") for f in frozen):
            module.requires_grad_(False)
            frozen.append(name)
    return frozen
