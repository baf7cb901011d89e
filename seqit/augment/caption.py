"""Caption-then-answer: describe the image first, then answer the question about it.

The manual chain of arXiv 2403.07794 for visual question answering. A record holds one question
with its image and the image's captions, so every question of an image is kept.
"""

from collections.abc import Iterator
from typing import Literal

from seqit.augment.derive import (
    NO_OUTPUT,
    Obstacle,
    Others,
    before,
    chain_of,
    check_choice,
    derive,
    labelled,
    leave,
)
from seqit.records.account import Account, Row
from seqit.records.identity import draw
from seqit.records.record import Record, Step

METHOD = "caption"

Variant = Literal["describe", "base", "merged"]

DESCRIBE = "Describe the image in a sentence."
"""The first step; it needs the image and nothing else."""

# The question follows.
_PHRASINGS = (
    "First describe the image in a sentence, then answer the question:",
    "Describe what you see in the image. After that, answer this question:",
    "Say briefly what the picture shows and then answer the following:",
    "Start with a short description of the image, and go on to answer this:",
    "Put the picture into a sentence before you answer this question:",
)


def augment(
    rows: Iterator[Row],
    account: Account,
    *,
    seed: int,
    variant: Variant = "describe",
    captions: Literal["draw", "first"] = "draw",
    others: Others = "reject",
) -> Iterator[Row]:
    """Put a description before the answer of every row that has an image and a caption.

    `describe` does it to all of them, `base` leaves them as they are (answer directly), `merged`
    draws one or the other by halves. All three take the same rows, so that runs on them differ
    in the chain alone. Of several captions one is drawn, or the first is taken.
    """
    check_choice("variant", variant, ("describe", "base", "merged"))
    check_choice("captions", captions, ("draw", "first"))
    check_choice("others", others, ("reject", "pass"))
    for row in rows:
        record: Record = row.value
        known = _captions(record)
        if why := _obstacle(record, known):
            yield from leave(row, account, others, METHOD, why)
            continue
        lot = draw(seed, record["id"], record["lineage"]["iteration"] + 1, METHOD)
        if variant == "base" or (variant == "merged" and lot.random() < 0.5):
            yield row
            continue
        caption = lot.choice(known) if captions == "draw" else known[0]
        request = before(lot.choice(_PHRASINGS), record["instruction"])
        yield row.changed(_describe_first(record, caption, request, seed))


def _captions(record: Record) -> list[str]:
    """Return the captions that `metadata.captions` or `metadata.caption` holds."""
    metadata = record.get("metadata", {})
    several = metadata.get("captions")
    found = several if isinstance(several, list) else [metadata.get("caption")]
    return [text for text in found if isinstance(text, str) and text.strip()]


def _obstacle(record: Record, captions: list[str]) -> Obstacle | None:
    """Return why the image cannot be described first."""
    if not record.get("images"):
        return Obstacle("no-image", "The row has no image.")
    if not captions:
        return Obstacle("no-caption", "Neither metadata.captions nor metadata.caption has a text.")
    if not record["output"]:
        return NO_OUTPUT
    if record["lineage"].get("method") == METHOD:
        return Obstacle("already-described", "The row describes its image already.")
    return None


def _describe_first(record: Record, caption: str, request: str, seed: int) -> Record:
    first: Step = {"instruction": DESCRIBE, "output": caption}
    changes = {
        "instruction": request,
        "output": f"{labelled('Description', caption)}\n\n{labelled('Answer', record['output'])}",
        "steps": [first, *_answer_steps(record)],
    }
    return derive(record, changes, "caption", method=METHOD, seed=seed)


def _answer_steps(record: Record) -> list[Step]:
    steps = chain_of(record)
    answer = record["output"]
    if not record.get("steps") and len(answer.split()) <= 3:
        # Exact match is the measure of such answers (VQAv2); longer ones can be put differently.
        return [{**steps[0], "check": {"kind": "text", "value": answer}}]
    return steps
