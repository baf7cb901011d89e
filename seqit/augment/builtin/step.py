"""One entry of the library: how a step is asked for, where it fits, what the right answer is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, TypeVar

from seqit.augment.builtin.task import Task
from seqit.records.record import Check, Step

T = TypeVar("T")


class Solved(NamedTuple):
    """The right answer to a step: its text, and the check that proves it."""

    text: str
    check: Check


@dataclass(frozen=True, slots=True)
class StepKind:
    """A verifiable step.

    `phrasings` are imperative clauses without a final stop; `slots` names the values that the
    placeholder in them can take. `replies` are the ways to state the solved text.
    """

    name: str
    phrasings: tuple[str, ...]
    applies: Callable[[Task], bool]
    solve: Callable[[Task], Solved | None]
    replies: tuple[str, ...] = ("{}",)
    family: str = ""  # steps of one family do not meet in a chain
    gives: Literal["text", "number", "end"] = "text"  # what a later suffix finds

    @property
    def key(self) -> str:
        """What tells whether a chain has such a step already."""
        return self.family or self.name


def pick(rng: Random, choices: tuple[T, ...]) -> T:
    """Draw one; a third of the time that random.choice takes."""
    return choices[int(rng.random() * len(choices))]


def reply(template: str, text: str) -> str:
    """State the answer; what has several lines starts on a line of its own."""
    if "\n" in text:
        template = template.replace(": {}", ":\n{}")
    return template.replace("{}", text)


def listing(items: list[str]) -> str:
    """Join a list: on one line where that is easy to read, else with bullets."""
    if any("," in item or len(item) > 40 for item in items) or len(items) > 8:
        return "\n".join(f"- {item}" for item in items)
    return ", ".join(items)


def as_step(kind: StepKind, clause: str, output: str, check: Check | None) -> Step:
    """Return the step as the record has it: the clause as a sentence of its own."""
    step: Step = {"instruction": f"{clause[0].upper()}{clause[1:]}.", "output": output}
    if check is not None:
        step["check"] = check
    step["name"] = kind.name
    return step


def as_clause(instruction: str) -> str:
    """Undo `as_step`."""
    return instruction[:1].lower() + instruction[1:].removesuffix(".")
