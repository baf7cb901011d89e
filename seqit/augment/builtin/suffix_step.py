"""Declare suffix steps: their answer is computed from the preceding one, as their check does it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from seqit.augment.builtin.step import Solution, StepKind, format_list
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units
from seqit.records.record import Check

ExpectedAnswer = Callable[[str, Check], derived.Expected | None]


def solve_with_check(expected_answer: ExpectedAnswer, check: Check, task: Task) -> Solution | None:
    """Return the answer that the check expects; None if the step does not apply."""
    match expected_answer(task.answer.text, check):
        case None | "" | []:
            return None
        case str(text):
            return Solution(text, check)
        case list(items):
            return Solution(format_list(items), check)
        case number:
            return Solution(text_units.format_number(number), check)


def suffix_step(
    kind: str,
    expected_answer: ExpectedAnswer,
    applies: Callable[[Task], bool],
    replies: tuple[str, ...],
    *phrasings: str,
    name: str = "",
    family: str = "",
    result: Literal["text", "number", "end"] = "text",
    **arguments: Any,
) -> StepKind:
    """Return a step whose check has this kind and these arguments.

    The check is derived from the preceding answer; its kind is the default for name and family.
    """
    check = {"kind": kind, **arguments, "of": "previous"}
    solve = partial(solve_with_check, expected_answer, check)
    return StepKind(name or kind, phrasings, applies, solve, replies, family or kind, result)


def words_between(low: int, high: int) -> Callable[[Task], bool]:
    """Return a condition on the number of words of an answer in one line without markup."""
    return lambda task: low <= task.answer.word_count <= high and task.answer.is_one_line


def phrase_between(low: int, high: int) -> Callable[[Task], bool]:
    """Return a condition on the number of words of an answer without punctuation."""
    return lambda task: low <= task.answer.phrase_length <= high


def sentences_between(low: int, high: int) -> Callable[[Task], bool]:
    """Return a condition on the number of sentences of a prose answer."""
    return lambda task: low <= len(task.answer.sentences) <= high
