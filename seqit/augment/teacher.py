"""What a teacher is: it turns a record into a chain, or says why not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

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


@dataclass(frozen=True, slots=True)
class Failure:
    """The teacher gave nothing that can be used; never an answer."""

    stage: str
    reason: str
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)


Outcome = Rewrite | Keep | Failure


class Teacher(Protocol):
    """Rewrites records; `name` and `prompt` (the version of its prompts or rules) go to lineage."""

    @property
    def name(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    def rewrite(self, records: Iterator[Record], seed: int) -> Iterator[Outcome]:
        """Yield one outcome a record, in order; each stands before its own next iteration."""
        ...
