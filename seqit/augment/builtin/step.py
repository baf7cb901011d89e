"""The type of a library step: how it is phrased, where it applies, what its right answer is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, TypeVar

from seqit.augment.builtin.task import Task
from seqit.records.record import Check, Step

T = TypeVar("T")


class Solution(NamedTuple):
    """The right answer to a step: its text, and the check that verifies it."""

    text: str
    check: Check


@dataclass(frozen=True, slots=True)
class StepKind:
    """A kind of verifiable step.

    `phrasings` are imperative clauses without a full stop, possibly with a slot (see slots.py).
    `replies` are templates that state the solution. `result` is what a suffix step after this one
    works on; after "end" none can be added.
    """

    name: str
    phrasings: tuple[str, ...]
    applies: Callable[[Task], bool]
    solve: Callable[[Task], Solution | None]
    replies: tuple[str, ...] = ("{}",)
    family: str = ""  # a chain has at most one step of a family
    result: Literal["text", "number", "end"] = "text"

    @property
    def key(self) -> str:
        """The family, or the name: a chain has at most one step with the same key."""
        return self.family or self.name


def pick(rng: Random, choices: tuple[T, ...]) -> T:
    """Return a random element, in a third of the time of random.choice."""
    return choices[int(rng.random() * len(choices))]


def render_reply(template: str, text: str) -> str:
    """Insert the text into a reply; a text of several lines begins on a new line."""
    if "\n" in text:
        template = template.replace(": {}", ":\n{}")
    return template.replace("{}", text)


def format_list(items: list[str]) -> str:
    """Join items on one line if they are few, short and without commas, else as bullets."""
    if any("," in item or len(item) > 40 for item in items) or len(items) > 8:
        return "\n".join(f"- {item}" for item in items)
    return ", ".join(items)


def build_step(kind: StepKind, clause: str, output: str, check: Check) -> Step:
    """Return the step of a record, with the clause as its instruction sentence."""
    instruction = f"{clause[0].upper()}{clause[1:]}."
    return {"instruction": instruction, "output": output, "check": check, "name": kind.name}


def clause_of(instruction: str) -> str:
    """Return the clause that `build_step` made the instruction from."""
    return instruction[:1].lower() + instruction[1:].removesuffix(".")
