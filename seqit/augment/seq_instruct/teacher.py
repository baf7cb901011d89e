"""What a teacher is: it turns a record into a chain, or says why not."""

from dataclasses import dataclass
from typing import Literal, Protocol

from seqit.llm.model_call import ModelCall
from seqit.records.record import Record, Step

ChainOperation = Literal["decompose", "prefix", "suffix"]

CLASSIFIED = "seq_instruct"
"""The key of a record's metadata that holds its classification until it is acted on."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The chain that replaces the record's instruction and answer; all else stays as it is.

    `output` is empty where the chain is to be answered later; `steps` hold the whole chain in
    order, the original task included, and are empty where the teacher does not tell them.
    """

    operation: ChainOperation
    instruction: str
    output: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class KeepUnchanged:
    """The record stays as it is and is frozen: nothing fits, or it was drawn to be kept.

    `output` is a new answer to it; None where it keeps its own.
    """

    reason: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Classified:
    """What is to be done with the record, and why; it is not done yet."""

    operation: ChainOperation | Literal["keep"]
    thought: str


Outcome = Rewrite | KeepUnchanged | Classified


class Teacher(Protocol):
    """Rewrites records; `name` and `prompt` (the version of its prompts or rules) go to lineage."""

    @property
    def name(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Ask for one iteration of one record.

        Raises Unanswered where nothing that can be used was given: a failure is no outcome.
        """
        ...
