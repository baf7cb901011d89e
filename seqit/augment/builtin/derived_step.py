"""Suffix steps: what they ask for is computed from the answer before them, as their check does."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from seqit.augment.builtin.step import Solved, StepKind, listing
from seqit.augment.builtin.task import Task
from seqit.checks import derived, measures
from seqit.records.record import Check

Expect = Callable[[str, Check], derived.Expected | None]


def solved_from(expect: Expect, check: Check, task: Task) -> Solved | None:
    match expect(task.answer.text, check):
        case None | "" | []:
            return None
        case str(text):
            return Solved(text, check)
        case list(items):
            return Solved(listing(items), check)
        case number:
            return Solved(measures.plain_number(number), check)


def suffix_step(
    kind: str,
    expect: Expect,
    applies: Callable[[Task], bool],
    replies: tuple[str, ...],
    *phrasings: str,
    name: str = "",
    family: str = "",
    gives: Literal["text", "number", "end"] = "text",
    **arguments: Any,
) -> StepKind:
    check = {"kind": kind, **arguments, "of": "previous"}
    solve = partial(solved_from, expect, check)
    return StepKind(name or kind, phrasings, applies, solve, replies, family or kind, gives)


def words(low: int, high: int) -> Callable[[Task], bool]:
    """Running text, in words; no code, no markup, no list."""
    return lambda task: low <= task.answer.words <= high and task.answer.one_line


def phrase(low: int, high: int) -> Callable[[Task], bool]:
    """One line of plain words, without punctuation."""
    return lambda task: low <= task.answer.phrase <= high


def sentences(low: int, high: int) -> Callable[[Task], bool]:
    return lambda task: low <= len(task.answer.sentences) <= high
