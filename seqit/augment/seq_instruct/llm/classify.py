"""The classify stage: which option turns an instruction into a chain, or whether none does."""

from typing import Literal

from seqit.augment.form import AnswerField, TaggedForm, Values
from seqit.augment.seq_instruct.llm.question import StageCaller
from seqit.augment.seq_instruct.llm.source import RewriteSource, beside
from seqit.augment.seq_instruct.teacher import CLASSIFIED, ChainOperation, Classified
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


def classify(questions: StageCaller, source: RewriteSource) -> ModelCall[Classified]:
    """Ask which option fits; raises Unanswered. What cannot be read is no option, D included."""

    def judge(values: Values) -> Classified:
        return Classified(OPTIONS[values["option"]], values["thought"])

    shown = {"original": source.instruction, "beside": beside(questions.record, source)}
    return (yield from questions.complete(STAGE, STAGE, shown, FORM, judge))


def classified(record: Record) -> Classified | None:
    """Return what an earlier run, which ended after this stage, found for the record."""
    found = record.get("metadata", {}).get(CLASSIFIED)
    if isinstance(found, dict) and found.get("option") in OPTIONS.values():
        return Classified(found["option"], str(found.get("thought", "")))
    return None
