"""The classify stage: choose the operation that turns an instruction into a chain, or none."""

from typing import Literal

from seqit.augment.form import AnswerField, FieldValues, TaggedForm
from seqit.augment.seq_instruct.llm.source import RewriteSource, render_context
from seqit.augment.seq_instruct.llm.stage_caller import StageCaller
from seqit.augment.seq_instruct.teacher import CLASSIFICATION_KEY, ChainOperation, Classification
from seqit.llm.model_call import ModelCall
from seqit.records.record import Record

STAGE = "classify"

OPTIONS: dict[str, ChainOperation | Literal["keep"]] = {
    "A": "decompose",
    "B": "prefix",
    "C": "suffix",
    "D": "keep",
}
FORM = TaggedForm((AnswerField("thought"), AnswerField("option", choices=tuple(OPTIONS))))


def classify(caller: StageCaller, source: RewriteSource) -> ModelCall[Classification]:
    """Return the operation that the model chose; raises CompletionFailed.

    An answer that cannot be parsed is not an option: it never becomes D (keep).
    """

    def parse(values: FieldValues) -> Classification:
        return Classification(OPTIONS[values["option"]], values["thought"])

    slots = {"original": source.instruction, "beside": render_context(caller.record, source)}
    return (yield from caller.complete(STAGE, STAGE, slots, FORM, parse))


def stored_classification(record: Record) -> Classification | None:
    """Return the classification of an earlier run that stopped after this stage, or None."""
    value = record.get("metadata", {}).get(CLASSIFICATION_KEY)
    if isinstance(value, dict) and value.get("option") in OPTIONS.values():
        return Classification(value["option"], str(value.get("thought", "")))
    return None
