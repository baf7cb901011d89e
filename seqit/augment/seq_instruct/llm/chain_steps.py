"""Check the steps that a model lists for a chain against the chain's instruction."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from seqit.augment.seq_instruct.llm.source import RewriteSource, material, steps_of
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.checks.own_response import has_own_response
from seqit.checks.words import content_words, share_within
from seqit.records.record import Record
from seqit.records.validation import shorten


class ChainProblem(NamedTuple):
    """Why a chain must not be used: a reason code, a sentence, and the evidence."""

    reason: str
    message: str
    found: list[Any]


def step_problems(
    steps: list[str],
    instruction: str,
    record: Record,
    source: RewriteSource,
    operation: ChainOperation,
) -> Iterator[ChainProblem]:
    """Yield the problems of a chain's steps; none if no steps are listed.

    Reasons: not-longer, misplaced, no-own-response, step-not-in-chain, step-missing.
    """
    if not steps:
        return
    old_steps = steps_of(record, source)
    yield from _count_problems(steps, instruction, old_steps)
    yield from _position_problems(steps, old_steps, operation)
    new_steps = _new_steps(steps, old_steps, operation)
    if silent := [text for text in new_steps if not has_own_response(text)]:
        message = f"the task {shorten(silent[0], 200)!r} has no response of its own in an answer"
        yield ChainProblem("no-own-response", message, silent)
    context = material(record, source)
    known = set(content_words(f"{instruction}\n{context}"))
    if unrelated := [text for text in steps if not _shares_a_word(text, known)]:
        message = f"the step {shorten(unrelated[0], 200)!r} is not in the new instruction"
        yield ChainProblem("step-not-in-chain", message, unrelated)
    if operation != "decompose":
        rest = steps[1:] if operation == "prefix" else steps[:-1]
        required = old_steps if record.get("steps") else [f"{source.instruction}\n{context}"]
        if missing := [text for text in required if not _may_be_among(text, rest)]:
            text = shorten(missing[0], 200)
            message = f"the task {text!r} of the original is not among the steps"
            yield ChainProblem("step-missing", message, missing)


def _count_problems(
    steps: list[str], instruction: str, old_steps: list[str]
) -> Iterator[ChainProblem]:
    whole = fold_text(instruction)
    different = {fold_text(text) for text in steps} - {whole}
    if len(different) < len(steps):
        message = "each step must be one task of the chain, not all of it, and stand there once"
        yield ChainProblem("not-longer", message, steps)
    elif len(steps) <= len(old_steps):
        message = (
            f"the chain has {len(steps)} steps, but must have at least {len(old_steps) + 1}: every "
            "task of it, the original's own included"
        )
        yield ChainProblem("not-longer", message, steps)


def _position_problems(
    steps: list[str], old_steps: list[str], operation: ChainOperation
) -> Iterator[ChainProblem]:
    index = {"prefix": 0, "suffix": -1}.get(operation)
    if index is not None and fold_text(steps[index]) == fold_text(old_steps[index]):
        where = "first" if operation == "prefix" else "last"
        yield ChainProblem("misplaced", f"the new task must stand {where} among the steps", steps)


def _new_steps(steps: list[str], old_steps: list[str], operation: ChainOperation) -> list[str]:
    if operation != "decompose":
        return steps[:1] if operation == "prefix" else steps[-1:]
    old = {fold_text(text) for text in old_steps}
    return [text for text in steps if fold_text(text) not in old]


def _may_be_among(task: str, steps: list[str]) -> bool:
    """Return whether a step may be this task: it shares a word with it, or has hardly any words."""
    words = set(content_words(task))
    return not words or any(_shares_a_word(step, words) for step in steps)


def _shares_a_word(step: str, words: set[str]) -> bool:
    step_words = content_words(step)
    return not step_words or share_within(step_words, words) > 0


def fold_text(text: str) -> str:
    """Return the text case-folded, with one space between words."""
    return " ".join(text.casefold().split())
