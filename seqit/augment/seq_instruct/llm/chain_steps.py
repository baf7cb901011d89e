"""The tasks that a chain is said to have: are they those of its instruction, all of them?"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from seqit.augment.seq_instruct.llm.source import RewriteSource, material, steps_of
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.checks.own_response import has_own_response
from seqit.checks.words import content_words, share_within
from seqit.records.record import Record
from seqit.records.validation import shorten


class ChainProblem(NamedTuple):
    """Why a chain must not be used: a name to count by, a sentence, and what was found."""

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
    """Yield what is wrong with the steps of a chain; no steps are none to look at.

    Reasons: not-longer, misplaced, no-own-response, step-not-in-chain, step-missing.
    """
    if not steps:
        return
    before = steps_of(record, source)
    yield from _number(steps, instruction, before)
    yield from _order(steps, before, operation)
    added = _added(steps, before, operation)
    if silent := [text for text in added if not has_own_response(text)]:
        message = f"the task {shorten(silent[0], 200)!r} has no response of its own in an answer"
        yield ChainProblem("no-own-response", message, silent)
    given = material(record, source)
    known = set(content_words(f"{instruction}\n{given}"))
    if strange := [text for text in steps if not _shares(text, known)]:
        message = f"the step {shorten(strange[0], 200)!r} is not in the new instruction"
        yield ChainProblem("step-not-in-chain", message, strange)
    if operation != "decompose":
        others = steps[1:] if operation == "prefix" else steps[:-1]
        wanted = before if record.get("steps") else [f"{source.instruction}\n{given}"]
        if gone := [text for text in wanted if not _is_among(text, others)]:
            message = f"the task {shorten(gone[0], 200)!r} of the original is not among the steps"
            yield ChainProblem("step-missing", message, gone)


def _number(steps: list[str], instruction: str, before: list[str]) -> Iterator[ChainProblem]:
    whole = plain(instruction)
    different = {plain(text) for text in steps} - {whole}
    if len(different) < len(steps):
        message = "each step must be one task of the chain, not all of it, and stand there once"
        yield ChainProblem("not-longer", message, steps)
    elif len(steps) <= len(before):
        message = (
            f"the chain has {len(steps)} steps, but must have at least {len(before) + 1}: every "
            "task of it, the original's own included"
        )
        yield ChainProblem("not-longer", message, steps)


def _order(
    steps: list[str], before: list[str], operation: ChainOperation
) -> Iterator[ChainProblem]:
    place = {"prefix": 0, "suffix": -1}.get(operation)
    if place is not None and plain(steps[place]) == plain(before[place]):
        where = "first" if operation == "prefix" else "last"
        yield ChainProblem("misplaced", f"the new task must stand {where} among the steps", steps)


def _added(steps: list[str], before: list[str], operation: ChainOperation) -> list[str]:
    """Return the steps that are new."""
    if operation != "decompose":
        return steps[:1] if operation == "prefix" else steps[-1:]
    old = {plain(text) for text in before}
    return [text for text in steps if plain(text) not in old]


def _is_among(text: str, steps: list[str]) -> bool:
    """Tell whether one of the steps may be this task: it has a word of it, or hardly any words."""
    words = set(content_words(text))
    return not words or any(_shares(step, words) for step in steps)


def _shares(step: str, words: set[str]) -> bool:
    said = content_words(step)
    return not said or share_within(said, words) > 0


def plain(text: str) -> str:
    """Return the text in folded case, one blank between words."""
    return " ".join(text.casefold().split())
