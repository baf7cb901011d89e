"""The language-model teacher of Seq-Instruct.

    extract → classify → rewrite and its checks → refine → respond

Each stage is one model call with a strict parser. If an answer cannot be parsed or fails a check,
the model is called again with the reason, a bounded number of times; after that the row fails. It
never becomes "keep".
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from seqit.augment.prompt import prompts_version
from seqit.augment.respond import respond
from seqit.augment.seq_instruct.llm.chain import RewrittenChain
from seqit.augment.seq_instruct.llm.classify import classify, stored_classification
from seqit.augment.seq_instruct.llm.extract import extract, may_contain_content
from seqit.augment.seq_instruct.llm.refine import refine
from seqit.augment.seq_instruct.llm.rewrite import rewrite
from seqit.augment.seq_instruct.llm.source import RewriteSource
from seqit.augment.seq_instruct.llm.stage_caller import OutputFormat, StageCaller, default_format
from seqit.augment.seq_instruct.teacher import ChainOperation, KeepUnchanged, Outcome, Rewrite
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.records.record import Record, Step

ExtractMode = Literal["auto", "never", "always"]
StopAfter = Literal["classify", "rewrite", "respond"]


@dataclass(frozen=True)
class LanguageTeacher:
    """Turns records into chains with a language model.

    extract: whether to separate content from the instruction first; "auto" does so if the record
        has no input and its instruction has several lines or more than 40 words.
    refine: whether the model reviews each rewrite.
    stop_after: the last stage; "classify" only records the chosen operation, "rewrite" leaves
        the chain without an answer.
    answer_kept: whether kept records get a new answer, so that all answers are the teacher's.
    output_format: the format of the model's answers, such as PaperForm.from_form; the extract
        stage always uses default_format.

    Raises UsageError for an invalid value.
    """

    model: ModelClient
    extract: ExtractMode = "auto"
    refine: bool = True
    stop_after: StopAfter = "respond"
    answer_kept: bool = False
    output_format: OutputFormat = default_format

    def __post_init__(self) -> None:
        for name, literal in (("extract", ExtractMode), ("stop_after", StopAfter)):
            if (value := getattr(self, name)) not in get_args(literal):
                choices = ", ".join(get_args(literal))
                raise UsageError(f"{name} is {value!r}, but must be one of: {choices}")

    @property
    def name(self) -> str:
        """KIND:MODEL, for lineage."""
        return self.model.name

    @cached_property
    def prompt(self) -> str:
        """The version of the prompts in use: 16 hexadecimal digits."""
        names = [] if self.extract == "never" else ["extract"]
        names.append("classify")
        if self.stop_after != "classify":
            names += [*get_args(ChainOperation), *(["refine"] if self.refine else [])]
        return prompts_version(*names)

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Return the outcome of all stages for one record; raises CompletionFailed."""
        caller = StageCaller(self.model, record, seed, self.output_format)
        source = RewriteSource(record["instruction"])
        if self._needs_extraction(record):
            source = yield from extract(caller)
        stored = None if self.stop_after == "classify" else stored_classification(record)
        choice = stored or (yield from classify(caller, source))
        if self.stop_after == "classify":
            return choice
        if choice.operation == "keep":
            return (yield from self._keep(record, seed, choice.thought))
        chain = yield from rewrite(caller, source, choice.operation)
        if self.refine:
            chain = yield from refine(caller, source, chain, choice.operation)
        return (yield from self._finish(record, seed, choice.operation, source, chain))

    def _needs_extraction(self, record: Record) -> bool:
        if record["input"] or self.extract == "never":
            return False
        return self.extract == "always" or may_contain_content(record["instruction"])

    def _keep(self, record: Record, seed: int, thought: str) -> ModelCall[Outcome]:
        has_own_answer = record["lineage"].get("teacher") == self.name and record["output"]
        if not self.answer_kept or has_own_answer or self.stop_after != "respond":
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
        instruction = source.with_content(chain.instruction)
        output = ""
        if self.stop_after == "respond":
            rewritten: Record = {**record, "instruction": instruction}
            output = yield from respond(self.model, rewritten, seed)
        steps = [Step(instruction=text) for text in chain.steps]
        return Rewrite(operation, instruction, output, steps)
