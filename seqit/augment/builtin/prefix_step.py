"""Declare prefix steps: a value computed from the task, with the literal check for that value."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seqit.augment.builtin.step import Solution, StepKind, format_list
from seqit.augment.builtin.task import Task


@dataclass(frozen=True, slots=True)
class NumbersValue:
    """Numbers as they are written, in order."""

    values: list[str]


@dataclass(frozen=True, slots=True)
class ChoiceValue:
    """One of a few values that the step's phrasing names."""

    value: str
    among: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListValue:
    """Items with a text other than `format_list(items)`."""

    text: str
    items: list[str]


Value = str | int | list[str] | NumbersValue | ChoiceValue | ListValue | None


def _solve_with_value(value: Callable[[Task], Value], task: Task) -> Solution | None:
    """Return the value's text and the literal check for it; None if there is no value."""
    found: Solution | None = None
    match value(task):
        case int(number):
            found = Solution(str(number), {"kind": "number", "value": str(number)})
        case str(text) if text:
            found = Solution(text, {"kind": "text", "value": text})
        case list(items) if items:
            found = Solution(format_list(items), {"kind": "list", "items": items})
        case ListValue(text, items):
            found = Solution(text, {"kind": "list", "items": items})
        case NumbersValue(values) if values:
            found = Solution(", ".join(values), {"kind": "numbers", "values": values})
        case ChoiceValue(chosen, among) if chosen:
            found = Solution(chosen, {"kind": "choice", "value": chosen, "among": list(among)})
    return found


def prefix_step(
    name: str,
    value: Callable[[Task], Value],
    applies: Callable[[Task], bool],
    replies: tuple[str, ...],
    *phrasings: str,
    family: str = "",
) -> StepKind:
    """Return a step whose answer is a value computed from the question or the input."""
    return StepKind(name, phrasings, applies, partial(_solve_with_value, value), replies, family)
