"""The language-model teacher of Seq-Instruct.

    extract → classify → rewrite and its checks → refine → respond

Each stage is one question with a strict reader. What cannot be read is asked again, and what
fails a check is asked again with the reason; after that the row fails, and never becomes "keep".
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from seqit.augment.form import AnswerForm, TaggedForm
from seqit.augment.prompt import prompts_version
from seqit.augment.respond import respond
from seqit.augment.seq_instruct.llm.chain import RewrittenChain
from seqit.augment.seq_instruct.llm.classify import classified, classify
from seqit.augment.seq_instruct.llm.extract import extract, may_hold_content
from seqit.augment.seq_instruct.llm.question import OutputFormat, StageCaller
from seqit.augment.seq_instruct.llm.refine import refine
from seqit.augment.seq_instruct.llm.rewrite import rewrite
from seqit.augment.seq_instruct.llm.source import RewriteSource
from seqit.augment.seq_instruct.teacher import ChainOperation, KeepUnchanged, Outcome, Rewrite
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.records.record import Record, Step

Extract = Literal["auto", "never", "always"]
Until = Literal["classify", "rewrite", "respond"]


def default_format(form: TaggedForm) -> AnswerForm:
    """Ask for a form as it is: the shape that is used by default."""
    return form


@dataclass(frozen=True)
class LanguageTeacher:
    """Chains records by asking a model.

    extract: whether content within an instruction is told from it first; "auto" does so where the
    record has no input and an instruction of several lines or more than 40 words. refine: whether
    a rewrite gets a second look. until: the last stage; "classify" only says what would be done,
    "rewrite" leaves the chain without an answer. answer_kept: whether records that are kept get a
    new answer, so that all answers are the teacher's. shape: how answers are written, as in
    PaperForm.of; the extract stage knows its own form alone.

    Raises UsageError for a value that is none of these.
    """

    model: ModelClient
    extract: Extract = "auto"
    refine: bool = True
    until: Until = "respond"
    answer_kept: bool = False
    shape: OutputFormat = default_format

    def __post_init__(self) -> None:
        for name, kind in (("extract", Extract), ("until", Until)):
            if (value := getattr(self, name)) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise UsageError(f"{name} is {value!r}, but must be one of: {known}")

    @property
    def name(self) -> str:
        """KIND:MODEL, for lineage."""
        return self.model.name

    @cached_property
    def prompt(self) -> str:
        """The version of the prompts that are used: 16 hexadecimal digits."""
        names = [] if self.extract == "never" else ["extract"]
        names.append("classify")
        if self.until != "classify":
            names += [*get_args(ChainOperation), *(["refine"] if self.refine else [])]
        return prompts_version(*names)

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Ask for one iteration of one record, stage by stage; raises Unanswered."""
        questions = StageCaller(self.model, record, seed, self.shape)
        source = RewriteSource(record["instruction"])
        if self._extracts(record):
            source = yield from extract(questions)
        found = None if self.until == "classify" else classified(record)
        found = found or (yield from classify(questions, source))
        if self.until == "classify":
            return found
        if found.operation == "keep":
            return (yield from self._keep(record, seed, found.thought))
        chain = yield from rewrite(questions, source, found.operation)
        if self.refine:
            chain = yield from refine(questions, source, chain, found.operation)
        return (yield from self._finish(record, seed, found.operation, source, chain))

    def _extracts(self, record: Record) -> bool:
        if record["input"] or self.extract == "never":
            return False
        return self.extract == "always" or may_hold_content(record["instruction"])

    def _keep(self, record: Record, seed: int, thought: str) -> ModelCall[Outcome]:
        own = record["lineage"].get("teacher") == self.name and record["output"]
        if not self.answer_kept or own or self.until != "respond":
            return KeepUnchanged(thought)
        return KeepUnchanged(thought, (yield from respond(self.model, record, seed)))

    def _finish(
        self,
        record: Record,
        seed: int,
        operation: ChainOperation,
        source: RewriteSource,
        chain: RewrittenChain,
    ) -> ModelCall[Outcome]:
        instruction = source.lay_out(chain.instruction)
        output = ""
        if self.until == "respond":
            asked: Record = {**record, "instruction": instruction}
            output = yield from respond(self.model, asked, seed)
        steps = [Step(instruction=text) for text in chain.steps]
        return Rewrite(operation, instruction, output, steps)
