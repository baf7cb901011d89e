"""What a teacher is: it turns a record into a chain, or says why not."""

from dataclasses import dataclass
from typing import Literal, Protocol

from seqit.backends.asking import Asking
from seqit.records.record import Record, Step


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The chain that replaces the record's instruction and answer; all else stays as it is."""

    operation: Literal["decompose", "prefix", "suffix"]
    instruction: str
    output: str
    steps: list[Step]  # the whole chain in order, the original task included


@dataclass(frozen=True, slots=True)
class Keep:
    """The record stays as it is and is frozen: nothing fits, or it was drawn to be kept."""

    reason: str


Outcome = Rewrite | Keep


class Teacher(Protocol):
    """Rewrites records; `name` and `prompt` (the version of its prompts or rules) go to lineage."""

    @property
    def name(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    def rewrite(self, record: Record, seed: int) -> Asking[Outcome]:
        """Ask for one iteration of one record.

        Raises Unanswered where nothing that can be used was given: a failure is no outcome.
        """
        ...
