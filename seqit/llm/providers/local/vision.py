"""Vision-language models in this process: a chat with images as tokens and pixels.

InstructBLIP is asked as its authors train it (arXiv 2305.06500) and as seqit does: image tokens,
then the question, which its Q-Former reads too; no chat template, one image, one turn. All other
models have a template that shows images, and a processor that says what they become.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from seqit.errors import SeqitError, UsageError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.model_files import installed_version
from seqit.llm.request import ImagePart, Message, TextPart

MOST_ASKED = 512
"""Tokens of the question that InstructBLIP's Q-Former has places for."""

_TEXT = ("input_ids", "attention_mask")
_OF_TOKENS = ("token_type_ids", "mm_token_type_ids")
_OF_QUESTION = ("qformer_input_ids", "qformer_attention_mask")


class VisionPrompt(NamedTuple):
    """A prompt: its token ids, those of images among them, and what goes with them."""

    ids: list[int]
    tensors: dict[str, Any]


class VisionPromptBuilder(Protocol):
    """Makes prompts of chats."""

    tokenizer: Any
    takes_no_template: bool

    def prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; raises ValueError for a chat that cannot be asked."""


def is_vision_model(folder: str) -> bool:
    """Tell by its config.json whether a model takes images; raises SeqitError."""
    path = Path(folder) / "config.json"
    try:
        return "vision_config" in json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SeqitError(f"{path} cannot be read: {error}") from None


def prompt_builder_for(folder: str, template: ChatTemplate) -> VisionPromptBuilder:
    """Return the reader of a model that takes images; raises SeqitError or UsageError."""
    installed_version("PIL", "train")
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library's own sentence, as for lack of torchvision
        said = " ".join(str(error).split())
        raise SeqitError(
            f"transformers finds no processor of images in {folder}: {said}"
        ) from error
    if hasattr(processor, "qformer_tokenizer"):
        if template.text is not None:
            raise UsageError(f"{folder} is an InstructBLIP, which takes no chat_template")
        return _InstructBlip(processor)
    return _Chat(processor, template)


class _Chat:
    """A model with a chat template that shows images."""

    takes_no_template = False

    def __init__(self, processor: Any, template: ChatTemplate) -> None:
        self.tokenizer = processor.tokenizer
        self._processor = processor
        self._template = template

    def prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; the template alone sets special tokens."""
        options = self._template.options | {"add_generation_prompt": True, "tokenize": False}
        text = self.tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": _parts(turn)} for turn in turns],
            chat_template=self._template.text or self._processor.chat_template,
            **options,
        )
        made = self._processor(
            text=[text],
            images=_images(turns) or None,
            add_special_tokens=False,
            return_tensors="pt",
        )
        ids: list[int] = made["input_ids"][0].tolist()
        return VisionPrompt(ids, {key: made[key] for key in made if key not in _TEXT})


class _InstructBlip:
    """InstructBLIP, whose processor would put the question's begin token before the image."""

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
        asked = "\n".join(filter(None, parts))
        reader = self._processor.qformer_tokenizer
        read = reader(
            [asked],
            truncation=True,
            max_length=min(reader.model_max_length, MOST_ASKED),
            return_tensors="pt",
        )
        pixels = self._processor.image_processor(images, return_tensors="pt")["pixel_values"]
        image = [self._image] * self._processor.num_query_tokens
        return VisionPrompt(
            image + self.tokenizer(asked).input_ids,
            {
                "pixel_values": pixels,
                "qformer_input_ids": read["input_ids"],
                "qformer_attention_mask": read["attention_mask"],
            },
        )


def collate(prompts: Sequence[VisionPrompt], width: int, model: Any) -> dict[str, Any]:
    """Return the tensors of a batch, whose ids are padded on the left to `width`."""
    import torch
    from torch.nn.functional import pad

    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for prompt in prompts for key in prompt.tensors):
        each = [prompt.tensors[key] for prompt in prompts if key in prompt.tensors]
        if key in _OF_TOKENS:
            each = [pad(one, (width - one.shape[1], 0)) for one in each]
        elif key in _OF_QUESTION:
            longest = max(one.shape[1] for one in each)
            each = [pad(one, (0, longest - one.shape[1])) for one in each]
        whole = torch.cat(each)
        found[key] = whole.to(model.device, model.dtype if whole.is_floating_point() else None)
    return found


def _parts(turn: Message) -> list[TextPart | ImagePart]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _images(turns: list[Message]) -> list[Any]:
    """Return the images of a chat, opened; raises RowError where one is not there."""
    parts = (part for turn in turns for part in _parts(turn))
    return [read_image(part["image"]) for part in parts if part["type"] == "image"]
