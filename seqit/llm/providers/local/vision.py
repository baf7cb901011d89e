"""Builds prompts with images for vision-language models in this process.

InstructBLIP is prompted as in its authors' and seqit's training (arXiv 2305.06500): image tokens,
then the question, which is also an input of its Q-Former; no chat template, one image, one turn.
All other models have a chat template with images, and a processor that encodes them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from seqit.errors import SeqitError, UsageError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.request import ImagePart, Message, TextPart

ModelKind = Literal["text", "chat-vision", "instructblip"]

MAX_QUESTION_TOKENS = 512
"""Maximum length of the question in InstructBLIP's Q-Former."""

_TEXT_KEYS = ("input_ids", "attention_mask")
_TOKEN_KEYS = ("token_type_ids", "mm_token_type_ids")
_QUESTION_KEYS = ("qformer_input_ids", "qformer_attention_mask")


class VisionPrompt(NamedTuple):
    """A prompt: its token ids, including those of images, and further tensors of the input."""

    ids: list[int]
    tensors: dict[str, Any]


class VisionPromptBuilder(Protocol):
    """Builds the prompt of a chat for one model."""

    tokenizer: Any
    takes_no_template: bool

    def prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; raises ValueError for a chat that the model does not support."""


def model_kind(folder: str) -> ModelKind:
    """Return the kind of a model, by its config.json; raises SeqitError if it cannot be read."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_bytes())
        if config.get("model_type") == "instructblip":
            return "instructblip"
        return "chat-vision" if "vision_config" in config else "text"
    except (OSError, ValueError, AttributeError) as error:
        raise SeqitError(f"{path} cannot be read: {error}") from None


def is_vision_model(folder: str) -> bool:
    """Return whether a model takes images; raises SeqitError if config.json cannot be read."""
    return model_kind(folder) != "text"


def prompt_builder_for(folder: str, template: ChatTemplate) -> VisionPromptBuilder:
    """Return the prompt builder of a vision model; raises SeqitError or UsageError."""
    installed_version("PIL", "train")
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library's message, for example that torchvision is missing
        message = " ".join(str(error).split())
        raise SeqitError(
            f"transformers cannot load an image processor from {folder}: {message}"
        ) from error
    if hasattr(processor, "qformer_tokenizer"):
        if template.text is not None:
            raise UsageError(f"{folder} is an InstructBLIP model, which has no chat_template")
        return _InstructBlipPromptBuilder(processor)
    return _ChatPromptBuilder(processor, template)


class _ChatPromptBuilder:
    """For a model whose chat template supports images."""

    takes_no_template = False

    def __init__(self, processor: Any, template: ChatTemplate) -> None:
        self.tokenizer = processor.tokenizer
        self._processor = processor
        self._template = template

    def prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; special tokens come only from the template."""
        options = self._template.options | {"add_generation_prompt": True, "tokenize": False}
        text = self.tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": _parts(turn)} for turn in turns],
            chat_template=self._template.text or self._processor.chat_template,
            **options,
        )
        processed = self._processor(
            text=[text],
            images=_images(turns) or None,
            add_special_tokens=False,
            return_tensors="pt",
        )
        ids: list[int] = processed["input_ids"][0].tolist()
        return VisionPrompt(
            ids, {key: processed[key] for key in processed if key not in _TEXT_KEYS}
        )


class _InstructBlipPromptBuilder:
    """For InstructBLIP; does not call its processor, which puts BOS before the image."""

    takes_no_template = True

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        self._processor = processor
        self._image = self.tokenizer.convert_tokens_to_ids(str(processor.image_token))

    def prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt of a question about one image."""
        images = _images(turns)
        if len(images) != 1 or any(turn["role"] == "assistant" for turn in turns):
            raise ValueError("InstructBLIP takes one image and one turn")
        parts = [part["text"].strip() for turn in turns for part in _parts(turn)
                 if part["type"] == "text"]  # fmt: skip
        question = "\n".join(filter(None, parts))
        qformer_tokenizer = self._processor.qformer_tokenizer
        encoded = qformer_tokenizer(
            [question],
            truncation=True,
            max_length=min(qformer_tokenizer.model_max_length, MAX_QUESTION_TOKENS),
            return_tensors="pt",
        )
        pixels = self._processor.image_processor(images, return_tensors="pt")["pixel_values"]
        image = [self._image] * self._processor.num_query_tokens
        return VisionPrompt(
            image + self.tokenizer(question).input_ids,
            {
                "pixel_values": pixels,
                "qformer_input_ids": encoded["input_ids"],
                "qformer_attention_mask": encoded["attention_mask"],
            },
        )


def collate(prompts: Sequence[VisionPrompt], width: int, model: Any) -> dict[str, Any]:
    """Return the input tensors of a batch whose ids are padded on the left to `width`."""
    import torch
    from torch.nn.functional import pad

    tensors: dict[str, Any] = {}
    for key in dict.fromkeys(key for prompt in prompts for key in prompt.tensors):
        batch = [prompt.tensors[key] for prompt in prompts if key in prompt.tensors]
        if key in _TOKEN_KEYS:
            batch = [pad(tensor, (width - tensor.shape[1], 0)) for tensor in batch]
        elif key in _QUESTION_KEYS:
            longest = max(tensor.shape[1] for tensor in batch)
            batch = [pad(tensor, (0, longest - tensor.shape[1])) for tensor in batch]
        joined = torch.cat(batch)
        tensors[key] = joined.to(model.device, model.dtype if joined.is_floating_point() else None)
    return tensors


def _parts(turn: Message) -> list[TextPart | ImagePart]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _images(turns: list[Message]) -> list[Any]:
    """Return the images of a chat, decoded; raises RowError if one cannot be read."""
    parts = (part for turn in turns for part in _parts(turn))
    return [read_image(part["image"]) for part in parts if part["type"] == "image"]
