"""A vision model says in a sentence what an image shows."""

import re

import orjson
from xxhash import xxh3_128_hexdigest

from seqit.augment.prompt import load_prompt
from seqit.checks.measures import lines, sentences
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, ModelCall, ParseError
from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.record import Record

STAGE = "caption"

_MOST_SENTENCES = 2
_MOST_CHARACTERS = 400

# The model speaks of itself or of not seeing, which no caption does.
_EXCUSE = re.compile(
    r"\b(?:I|we)(?:['’]m| am| was| are)?"
    r" (?:sorry|unable|not able|cannot|can['’]?t|do not|don['’]t)\b"
    r"|\bas an AI\b|\b(?:no|any|the) (?:image|picture|photo)s? (?:was|were|is|are|has been)"
    r" (?:not )?(?:provided|attached|given|visible|uploaded)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
_LABEL = re.compile(r"\W*(?:caption|description|sentence|answer)\W*:", re.IGNORECASE)


def caption_prompt() -> str:
    """Return the version of the prompt."""
    return load_prompt("caption").version


def written_caption(model: ModelClient, record: Record, seed: int) -> ModelCall[str]:
    """Ask a vision model for a caption of the record's images; raises Unanswered.

    The question is the image's and not the record's: its draws do not depend on the record, so
    all records that show the same image ask the same, and the model is asked once.
    """
    images = record["images"]
    prompt = load_prompt("caption")
    content: list[TextPart | ImagePart] = [{"type": "image", "image": each} for each in images]
    content.append({"type": "text", "text": f"{prompt.task}\n\n{prompt.given}"})
    messages: list[Message] = [{"role": "user", "content": content}]
    asker: Record = {
        **record,
        "id": xxh3_128_hexdigest(orjson.dumps(images))[:20],
        "lineage": {**record["lineage"], "iteration": 0},
    }
    return (yield from model.complete(asker, STAGE, messages, _caption, seed=seed))


def _caption(text: str) -> str:
    """Return the caption without outer space; raises ParseError or CheckFailed where it is none."""
    caption = text.strip()
    if len(lines(caption)) > 1:
        raise ParseError("it has several lines and not one sentence alone", "not-a-caption")
    if _LABEL.match(caption):
        raise ParseError("a label stands before the sentence", "not-a-caption")
    if _EXCUSE.search(_QUOTED.sub("", caption)):
        raise CheckFailed("it says that the image cannot be described", "not-described")
    if len(caption) > _MOST_CHARACTERS or len(sentences(caption)) > _MOST_SENTENCES:
        raise CheckFailed("it is longer than one sentence", "not-a-caption")
    return caption
