"""A rewritten instruction, and the checks that it must pass before it is answered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from seqit.augment.form import Values
from seqit.augment.llm.source import Source, material, steps_of
from seqit.augment.teacher import ChainOperation
from seqit.backends.asking import Unfit
from seqit.checks.own_response import has_own_response
from seqit.checks.placeholder import leftovers
from seqit.checks.retained import lost_content
from seqit.checks.words import content_words, share_within
from seqit.records.record import Record
from seqit.records.validation import shorten

_COPY = 40  # characters of the input from which on finding it in the instruction is no chance


@dataclass(frozen=True, slots=True)
class Chain:
    """A rewritten instruction and its tasks in order; no tasks where the format has none."""

    instruction: str
    steps: list[str]

    @classmethod
    def of(cls, values: Values) -> "Chain":
        """Return the chain that an answer's fields hold."""
        return cls(values["instruction"], values.get("steps", []))


class Problem(NamedTuple):
    """Why a chain must not be used: a name to count by, a sentence, and what was found."""

    reason: str
    message: str
    found: list[Any]


def check_chain(chain: Chain, record: Record, source: Source, operation: ChainOperation) -> Chain:
    """Return the chain; raises Unfit, with all that is wrong, where a check fails."""
    if problems := list(chain_problems(chain, record, source, operation)):
        evidence = {"problems": [problem._asdict() for problem in problems]}
        raise Unfit("; ".join(each.message for each in problems), problems[0].reason, evidence)
    return chain


def chain_problems(
    chain: Chain, record: Record, source: Source, operation: ChainOperation
) -> Iterator[Problem]:
    """Yield what is wrong with a chain, in the order of gravity.

    Reasons: placeholder, unchanged, not-longer, misplaced, content-lost, input-copied, paraphrase,
    no-own-response, step-not-in-chain.
    """
    yield from _placeholders(chain, record)
    if _plain(chain.instruction) == _plain(source.instruction):
        yield Problem("unchanged", "the new instruction is the original one", [])
        return
    yield from _length(chain, record, source, operation)
    lost = lost_content(
        source.instruction,
        chain.instruction,
        material(record, source),
        rephrased=operation == "decompose",
    )
    if lost:
        texts = "; ".join(f"{each.kind} {shorten(each.text, 300)!r}" for each in lost[:8])
        message = f"the new instruction lacks what the original holds: {texts}"
        yield Problem("content-lost", message, [each._asdict() for each in lost])
    given = _plain(material(record, source))
    if len(given) >= _COPY and given in _plain(chain.instruction):
        message = "the new instruction repeats the input, which stays beside it anyway"
        yield Problem("input-copied", message, [])
    if not set(content_words(chain.instruction)) - set(content_words(source.instruction)):
        message = "the new instruction only says the original in other words; no task came in"
        yield Problem("paraphrase", message, [])
    yield from _steps(chain, record, source, operation)


def _placeholders(chain: Chain, record: Record) -> Iterator[Problem]:
    turns = [text for turn in record.get("history", ()) for text in turn]
    given = "\n".join([record["instruction"], record["input"], record.get("system", ""), *turns])
    texts = [chain.instruction, *chain.steps]
    if found := list(dict.fromkeys(each for text in texts for each in leftovers(text, given))):
        named = ", ".join(repr(shorten(each)) for each in found)
        message = f"{named} must not be in an instruction that somebody else gets as it is"
        yield Problem("placeholder", message, found)


def _length(
    chain: Chain, record: Record, source: Source, operation: ChainOperation
) -> Iterator[Problem]:
    steps, before = chain.steps, steps_of(record, source)
    if steps and len(steps) <= len(before):
        message = (
            f"the chain has {len(steps)} steps, but must have at least {len(before) + 1}: every "
            "task of it, the original's own included"
        )
        yield Problem("not-longer", message, steps)
    elif operation != "decompose" and len(chain.instruction) <= len(source.instruction):
        yield Problem("not-longer", "the new instruction is not longer than the original", [])
    place = {"prefix": 0, "suffix": -1}.get(operation)
    if place is not None and steps and _plain(steps[place]) == _plain(before[place]):
        where = "first" if operation == "prefix" else "last"
        yield Problem("misplaced", f"the new task must stand {where} among the steps", steps)


def _steps(
    chain: Chain, record: Record, source: Source, operation: ChainOperation
) -> Iterator[Problem]:
    old = {_plain(text) for text in steps_of(record, source)}
    added = [text for text in chain.steps if _plain(text) not in old]
    if operation != "decompose":
        added = chain.steps[:1] if operation == "prefix" else chain.steps[-1:]
    if silent := [text for text in added if not has_own_response(text)]:
        message = f"the task {shorten(silent[0], 200)!r} has no response of its own in an answer"
        yield Problem("no-own-response", message, silent)
    known = set(content_words(f"{chain.instruction}\n{material(record, source)}"))
    words = [(text, content_words(text)) for text in chain.steps]
    if strange := [text for text, said in words if said and not share_within(said, known)]:
        message = f"the step {shorten(strange[0], 200)!r} is not in the new instruction"
        yield Problem("step-not-in-chain", message, strange)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
