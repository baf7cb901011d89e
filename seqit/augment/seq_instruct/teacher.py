"""The teacher protocol and its outcomes: a chain, a kept record, or a classification."""

from dataclasses import dataclass
from typing import Literal, Protocol

from seqit.llm.model_call import ModelCall
from seqit.records.record import Record, Step

ChainOperation = Literal["decompose", "prefix", "suffix"]

CLASSIFICATION_KEY = "seq_instruct"
"""The metadata key of a record's classification, until that is applied."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The chain that replaces the record's instruction and answer; nothing else changes.

    `output` is empty if the chain is to be answered later; `steps` is the whole chain in order,
    including the original task, or empty if the teacher does not list the steps.
    """

    operation: ChainOperation
    instruction: str
    output: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class KeepUnchanged:
    """The record is kept unchanged and is final: no operation fits, or keep was sampled.

    `output` is a new answer; None if the record keeps its answer.
    """

    reason: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """The operation to apply to the record later, and why."""

    operation: ChainOperation | Literal["keep"]
    thought: str


Outcome = Rewrite | KeepUnchanged | Classification


class Teacher(Protocol):
    """Rewrites records.

    `name` and `prompt` (the version of its prompts or rules) are written to the lineage.
    """

    @property
    def name(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Return the outcome of one iteration of one record.

        Raises CompletionFailed if there is no usable completion: a failure is not an outcome.
        """
        ...
