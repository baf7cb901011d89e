"""Caption-then-answer: describe the image first, then answer the question about it.

The manual chain of arXiv 2403.07794 for visual question answering. A record has one question
with its image and the image's captions, so every question about an image is kept. A vision model
can write missing captions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from seqit.augment.caption.captions import caption_prompt_version, generate_caption
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
from seqit.llm.client import ModelClient, NoModelRunner
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "caption"

CaptionVariant = Literal["describe", "base", "merged"]

DESCRIBE_INSTRUCTION = "Describe the image in a sentence."
"""The instruction of the first step; it needs only the image."""

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
    captions: Literal["random", "first"] = "random",
    on_inapplicable: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Yield each row with an image and a caption as a chain that describes the image first.

    variant: `describe` changes every row, `base` none (answer directly), `merged` a random half.
        All three use the same rows, so that models trained on them differ only in the chain.
    captions: which of several captions to use: a random one (`random`), or the first.
    model: writes a caption for rows that have none; it is not called for rows that are not
        changed. The caption is added as metadata.caption, and is the same for all rows with the
        same images.

    Raises UsageError for an unknown value of an option.
    """
    check_choice("variant", variant, ("describe", "base", "merged"))
    check_choice("captions", captions, ("random", "first"))
    check_choice("on_inapplicable", on_inapplicable, ("reject", "pass"))
    describer = _Describer(seed, variant, captions, model)
    for row, result in (model or NoModelRunner()).run(rows, describer.run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, on_inapplicable, METHOD, result)
        else:
            yield row if result is None else row.with_value(result)


def _captions(record: Record) -> list[str]:
    """Return the captions in `metadata.captions`, or else the one in `metadata.caption`."""
    metadata = record.get("metadata", {})
    for value in (metadata.get("captions"), [metadata.get("caption")]):
        texts = value if isinstance(value, list) else []
        if captions := [text for text in texts if isinstance(text, str) and text.strip()]:
            return captions
    return []


def _skip_reason(record: Record, has_caption: bool) -> SkipReason | None:
    """Return why the method does not apply to the record; None if it does."""
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
class _Describer:
    """Builds the chain of one row."""

    seed: int
    variant: CaptionVariant
    captions: Literal["random", "first"]
    model: ModelClient | None

    def run(self, row: Row) -> ModelCall[Record | SkipReason | None]:
        """Return the chain, why the row is skipped, or None if the row is not changed.

        Raises CompletionFailed.
        """
        record: Record = row.value
        captions = _captions(record)
        if skip := _skip_reason(record, bool(captions or self.model)):
            return skip
        rng = rng_for(self.seed, record["id"], record["lineage"]["iteration"] + 1, METHOD)
        if self.variant == "base" or (self.variant == "merged" and rng.random() < 0.5):
            return None
        changes: dict[str, Any] = {}
        origin = {}
        if not captions and self.model:
            captions = [(yield from generate_caption(self.model, record, self.seed))]
            changes["metadata"] = record.get("metadata", {}) | {"caption": captions[0]}
            origin = {"teacher": self.model.name, "prompt": caption_prompt_version()}
        caption = rng.choice(captions) if self.captions == "random" else captions[0]
        changes |= _chain_fields(record, caption, rng.choice(_PHRASINGS))
        return derive(record, changes, "caption", method=METHOD, seed=self.seed, **origin)


def _chain_fields(record: Record, caption: str, request: str) -> dict[str, Any]:
    first: Step = {"instruction": DESCRIBE_INSTRUCTION, "output": caption, "name": "describe"}
    return {
        "instruction": prepend_request(request, record["instruction"]),
        "output": f"{labelled('Description', caption)}\n\n{labelled('Answer', record['output'])}",
        "steps": [first, *_answer_steps(record)],
    }


def _answer_steps(record: Record) -> list[Step]:
    steps = chain_of(record)
    answer = record["output"]
    if not record.get("steps") and len(answer.split()) <= 3:
        # VQAv2 scores short answers by exact match; longer ones can be worded differently.
        return [{**steps[0], "check": {"kind": "text", "value": answer}}]
    return steps
