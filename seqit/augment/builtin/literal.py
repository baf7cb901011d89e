"""Prefix steps: what is computed from the question gets the check that says exactly that."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seqit.augment.builtin.step import Solved, StepKind, listing
from seqit.augment.builtin.task import Task


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers as they are written, in order."""

    values: list[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values that the step's wording names."""

    value: str
    among: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Items whose text is not the plain list of them."""

    text: str
    items: list[str]


Value = str | int | list[str] | Numbers | Choice | Listing | None


def _solved(value: Callable[[Task], Value], task: Task) -> Solved | None:
    """Turn a value into its text and the literal check for it."""
    found: Solved | None = None
    match value(task):
        case int(number):
            found = Solved(str(number), {"kind": "number", "value": str(number)})
        case str(text) if text:
            found = Solved(text, {"kind": "text", "value": text})
        case list(items) if items:
            found = Solved(listing(items), {"kind": "list", "items": items})
        case Listing(text, items):
            found = Solved(text, {"kind": "list", "items": items})
        case Numbers(values) if values:
            found = Solved(", ".join(values), {"kind": "numbers", "values": values})
        case Choice(chosen, among) if chosen:
            found = Solved(chosen, {"kind": "choice", "value": chosen, "among": list(among)})
    return found


def prefix_step(
    name: str,
    value: Callable[[Task], Value],
    applies: Callable[[Task], bool],
    replies: tuple[str, ...],
    *phrasings: str,
    family: str = "",
) -> StepKind:
    """Declare a step whose answer is a value computed from the question or the input."""
    return StepKind(name, phrasings, applies, partial(_solved, value), replies, family)
