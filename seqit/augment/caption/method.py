"""Caption-then-answer: describe the image first, then answer the question about it.

The manual chain of arXiv 2403.07794 for visual question answering. A record holds one question
with its image and the image's captions, so every question of an image is kept. A vision model can
write the captions that are not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from seqit.augment.caption.captions import caption_prompt, written_caption
from seqit.augment.derive import (
    NO_OUTPUT,
    OnInapplicable,
    SkipReason,
    chain_of,
    check_choice,
    derive,
    labelled,
    prepend_request,
    record_failure,
    skip_or_pass,
)
from seqit.llm.client import ModelClient, WithoutModel
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "caption"

CaptionVariant = Literal["describe", "base", "merged"]

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
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    variant: CaptionVariant = "describe",
    captions: Literal["draw", "first"] = "draw",
    others: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Put a description before the answer of every row that has an image and a caption.

    `describe` does it to all of them, `base` leaves them as they are (answer directly), `merged`
    draws one or the other by halves. All three take the same rows, so that runs on them differ
    in the chain alone. Of several captions one is drawn, or the first is taken.

    Where a row has none, the model is shown the image and writes one; it is not asked for rows
    that stay as they are. The caption goes to metadata.caption, and is the same for all rows that
    show the same image.
    """
    check_choice("variant", variant, ("describe", "base", "merged"))
    check_choice("captions", captions, ("draw", "first"))
    check_choice("others", others, ("reject", "pass"))
    describing = _Describing(seed, variant, captions, model)
    for row, result in (model or WithoutModel()).run(rows, describing.run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, others, METHOD, result)
        else:
            yield row if result is None else row.changed(result)


def _captions(record: Record) -> list[str]:
    """Return the captions that `metadata.captions` or `metadata.caption` holds."""
    metadata = record.get("metadata", {})
    for known in (metadata.get("captions"), [metadata.get("caption")]):
        texts = known if isinstance(known, list) else []
        if found := [text for text in texts if isinstance(text, str) and text.strip()]:
            return found
    return []


def _obstacle(record: Record, has_caption: bool) -> SkipReason | None:
    """Return why the image cannot be described first."""
    if not record.get("images"):
        return SkipReason("no-image", "The row has no image.")
    if not has_caption:
        return SkipReason(
            "no-caption", "Neither metadata.captions nor metadata.caption has a text."
        )
    if not record["output"]:
        return NO_OUTPUT
    if record["lineage"]["operation"] == "caption":
        return SkipReason("already-described", "The row describes its image already.")
    return None


@dataclass(frozen=True)
class _Describing:
    """One row's way to its chain."""

    seed: int
    variant: CaptionVariant
    captions: Literal["draw", "first"]
    model: ModelClient | None

    def run(self, row: Row) -> ModelCall[Record | SkipReason | None]:
        """Return the chain, why there is none, or None where the row stays; raises CompletionFailed."""
        record: Record = row.value
        known = _captions(record)
        if why := _obstacle(record, bool(known or self.model)):
            return why
        lot = rng_for(self.seed, record["id"], record["lineage"]["iteration"] + 1, METHOD)
        if self.variant == "base" or (self.variant == "merged" and lot.random() < 0.5):
            return None
        changes: dict[str, Any] = {}
        origin = {}
        if not known and self.model:
            known = [(yield from written_caption(self.model, record, self.seed))]
            changes["metadata"] = record.get("metadata", {}) | {"caption": known[0]}
            origin = {"teacher": self.model.name, "prompt": caption_prompt()}
        caption = lot.choice(known) if self.captions == "draw" else known[0]
        changes |= _described(record, caption, lot.choice(_PHRASINGS))
        return derive(record, changes, "caption", method=METHOD, seed=self.seed, **origin)


def _described(record: Record, caption: str, request: str) -> dict[str, Any]:
    first: Step = {"instruction": DESCRIBE, "output": caption, "name": "describe"}
    return {
        "instruction": prepend_request(request, record["instruction"]),
        "output": f"{labelled('Description', caption)}\n\n{labelled('Answer', record['output'])}",
        "steps": [first, *_answer_steps(record)],
    }


def _answer_steps(record: Record) -> list[Step]:
    steps = chain_of(record)
    answer = record["output"]
    if not record.get("steps") and len(answer.split()) <= 3:
        # Exact match is the measure of such answers (VQAv2); longer ones can be put differently.
        return [{**steps[0], "check": {"kind": "text", "value": answer}}]
    return steps
