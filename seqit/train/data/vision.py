"""Vision-language models in training: their encoders, processors, and frozen modules.

A micro-batch without any image gets an additional row, with a blank image and without supervised
tokens: so every rank runs the same modules at every step, which ZeRO-3 and the reduction of
gradients require. It does not change the loss.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.providers.local.vision import is_vision_model, model_kind
from seqit.records.record import Record
from seqit.train.data.chat_encoder import Encoded
from seqit.train.data.collator import MicroBatch
from seqit.train.data.conversation import UntrainableRow
from seqit.train.data.dataset import Example
from seqit.train.libraries import silence_training_libraries
from seqit.train.recipe import TrainRecipe

VISION_TOWERS = ("vision_model", "vision_tower", "visual", "vision_encoder", "vision_embed_tokens")
"""Names of the vision encoder in the models of transformers."""


class VisionEncoder(Protocol):
    """Encodes rows as tokens, and collates tokens and images into tensors."""

    tokenizer: Any
    end_token_ids: list[int]

    def encode(self, record: Record) -> Encoded:
        """Return the tokens of a row, including those of its images; raises UntrainableRow."""

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return the tokens of each row, or the error of a row that cannot be encoded."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, including control tokens."""

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the tokens, as JSON values."""

    def collate(self, sequences: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return rows as tensors, reading their images; raises SeqitError if one is missing."""


def auto_class_for(folder: str) -> Any:
    """Return the transformers class that loads the model in a folder."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if is_vision_model(folder) else AutoModelForCausalLM


def vision_encoder(recipe: TrainRecipe) -> VisionEncoder:
    """Return the encoder of a recipe's model; raises SeqitError if its processor is unusable."""
    from seqit.train.data.vision_chat import ChatVisionEncoder
    from seqit.train.data.vision_instructblip import InstructBlipEncoder

    folder = find_model(recipe.model, recipe.revision).folder()
    processor = load_processor(folder)
    template = ChatTemplate(recipe.template, None)
    if model_kind(folder) == "instructblip":
        return InstructBlipEncoder(processor, template, recipe.data.loss, recipe.model)
    return ChatVisionEncoder(processor, template, recipe.data.loss, recipe.model)


def load_processor(folder: str) -> Any:
    """Return the processor of the model in a folder or of a hub name.

    Raises SeqitError with the library's message if loading fails, e.g. without torchvision.
    """
    for module in ("torch", "transformers", "PIL"):
        installed_version(module, "train")
    silence_training_libraries()
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        message = " ".join(str(error).split())
        raise SeqitError(
            f"transformers cannot load an image processor from {folder}: {message}"
        ) from error


def freeze(model: Any) -> list[str]:
    """Freeze the modules that the models' authors froze, and return their names.

    The vision encoder of every model; for InstructBLIP also the language model, so that only the
    Q-Former and its projection are trained (arXiv 2305.06500).
    """
    frozen: list[str] = []
    names = (
        (*VISION_TOWERS, "language_model")
        if model.config.model_type == "instructblip"
        else VISION_TOWERS
    )
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in names and not any(name.startswith(f"{f}.") for f in frozen):
            module.requires_grad_(False)
            frozen.append(name)
    return frozen
