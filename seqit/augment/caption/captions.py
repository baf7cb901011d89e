"""Generate captions with a vision model."""

import re

import orjson
from xxhash import xxh3_128_hexdigest

from seqit.augment.prompt import load_prompt
from seqit.checks.text_units import lines, sentences
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, ModelCall, ParseError
from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.record import Record

STAGE = "caption"

_MAX_SENTENCES = 2
_MAX_CHARACTERS = 400

# The model mentions itself or a missing image, which a caption never does.
_REFUSAL = re.compile(
    r"\b(?:I|we)(?:['’]m| am| was| are)?"
    r" (?:sorry|unable|not able|cannot|can['’]?t|do not|don['’]t)\b"
    r"|\bas an AI\b|\b(?:no|any|the) (?:image|picture|photo)s? (?:was|were|is|are|has been)"
    r" (?:not )?(?:provided|attached|given|visible|uploaded)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
_LABEL = re.compile(r"\W*(?:caption|description|sentence|answer)\W*:", re.IGNORECASE)


def caption_prompt_version() -> str:
    """Return the version of the prompt."""
    return load_prompt("caption").version


def generate_caption(model: ModelClient, record: Record, seed: int) -> ModelCall[str]:
    """Return a vision model's caption of the record's images; raises CompletionFailed.

    The request depends on the images alone, not on the record, and so do its seeds. Records with
    the same images send identical requests, and the model answers them once.
    """
    images = record["images"]
    prompt = load_prompt("caption")
    content: list[TextPart | ImagePart] = [{"type": "image", "image": each} for each in images]
    content.append({"type": "text", "text": f"{prompt.task}\n\n{prompt.given}"})
    messages: list[Message] = [{"role": "user", "content": content}]
    image_record: Record = {
        **record,
        "id": xxh3_128_hexdigest(orjson.dumps(images))[:20],
        "lineage": {**record["lineage"], "iteration": 0},
    }
    return (yield from model.complete(image_record, STAGE, messages, _parse_caption, seed=seed))


def _parse_caption(text: str) -> str:
    """Return the caption without outer space; raises ParseError or CheckFailed if it is not one."""
    caption = text.strip()
    if len(lines(caption)) > 1:
        raise ParseError("it has several lines and not one sentence alone", "not-a-caption")
    if _LABEL.match(caption):
        raise ParseError("a label stands before the sentence", "not-a-caption")
    if _REFUSAL.search(_QUOTED.sub("", caption)):
        raise CheckFailed("it says that the image cannot be described", "not-described")
    if len(caption) > _MAX_CHARACTERS or len(sentences(caption)) > _MAX_SENTENCES:
        raise CheckFailed("it is longer than one sentence", "not-a-caption")
    return caption
