"""A rewritten instruction, and the checks that it must pass before it is answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from seqit.augment.form import Values
from seqit.augment.seq_instruct.llm.chain_steps import ChainProblem, plain, step_problems
from seqit.augment.seq_instruct.llm.source import RewriteSource, material
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.checks.measures import sentences
from seqit.checks.own_response import has_own_response, may_be_a_request
from seqit.checks.placeholder import leftovers
from seqit.checks.retained import lost_content
from seqit.checks.words import content_words, share_within
from seqit.llm.model_call import CheckFailed
from seqit.records.record import Record
from seqit.records.text.quotes import drop_quotes
from seqit.records.validation import shorten

_ASKED = 0.3  # share of a question's words that the sentence which asks it has at least
_REPEATED = 0.9  # share of an original sentence's words from which on a sentence is that one
_COPY = 20  # characters of the input from which on finding it in the instruction is no chance


@dataclass(frozen=True, slots=True)
class RewrittenChain:
    """A rewritten instruction and its tasks in order; no tasks where the format has none."""

    instruction: str
    steps: list[str]

    @classmethod
    def of(cls, values: Values) -> "RewrittenChain":
        """Return the chain that an answer's fields hold."""
        return cls(drop_quotes(values["instruction"]), _unnumbered(values.get("steps", [])))


def check_chain(
    chain: RewrittenChain, record: Record, source: RewriteSource, operation: ChainOperation
) -> RewrittenChain:
    """Return the chain; raises CheckFailed, with all that is wrong, where a check fails."""
    if problems := list(chain_problems(chain, record, source, operation)):
        evidence = {"problems": [problem._asdict() for problem in problems]}
        raise CheckFailed(
            "; ".join(each.message for each in problems), problems[0].reason, evidence
        )
    return chain


def chain_problems(
    chain: RewrittenChain, record: Record, source: RewriteSource, operation: ChainOperation
) -> Iterator[ChainProblem]:
    """Yield what is wrong with a chain, in the order of gravity.

    Reasons: placeholder, unchanged, not-longer, misplaced, content-lost, input-copied, no-task,
    paraphrase, no-own-response, and those of step_problems.
    """
    new, original, beside = chain.instruction, source.instruction, material(record, source)
    yield from _placeholders(chain, record)
    if plain(new) == plain(original):
        yield ChainProblem("unchanged", "the new instruction is the original one", [])
        return
    if operation != "decompose":
        yield from _place(new, original, operation)
    lost = lost_content(original, new, beside, rephrased=operation == "decompose")
    if lost:
        texts = "; ".join(f"{each.kind} {shorten(each.text, 300)!r}" for each in lost[:8])
        message = f"the new instruction lacks what the original holds: {texts}"
        yield ChainProblem("content-lost", message, [each._asdict() for each in lost])
    if operation != "decompose" and (told := _told(original, new)):
        message = f"the question {shorten(told[0], 200)!r} must still be asked, not answered"
        yield ChainProblem("no-task", message, told)
    given = plain(beside)
    if len(given) >= _COPY and given in plain(new):
        message = "the new instruction repeats the input, which stays beside it anyway"
        yield ChainProblem("input-copied", message, [])
    yield from _news(chain, original)
    yield from step_problems(chain.steps, new, record, source, operation)


def _unnumbered(steps: list[str]) -> list[str]:
    """Return the steps without their numbers, where all are numbered in order."""
    numbered = (re.match(rf"(?:step )?{n}[.):]\s+", text, re.I) for n, text in enumerate(steps, 1))
    ends = [match.end() if match else 0 for match in numbered]
    return [text[end:] for text, end in zip(steps, ends, strict=True)] if all(ends) else steps


def _told(original: str, new: str) -> list[str]:
    """Return the questions that no sentence of the new instruction asks; in English alone."""
    if "?" in new or not new.isascii():
        return []
    asked = [set(content_words(each)) for each in sentences(new) if may_be_a_request(each)]
    questions = {each: content_words(each) for each in sentences(original) if each.endswith("?")}
    return [
        question
        for question, words in questions.items()
        if words and all(share_within(words, said) < _ASKED for said in asked)
    ]


def _placeholders(chain: RewrittenChain, record: Record) -> Iterator[ChainProblem]:
    turns = [text for turn in record.get("history", ()) for text in turn]
    given = "\n".join([record["instruction"], record["input"], record.get("system", ""), *turns])
    texts = [chain.instruction, *chain.steps]
    if found := list(dict.fromkeys(each for text in texts for each in leftovers(text, given))):
        named = ", ".join(repr(shorten(each)) for each in found)
        message = f"{named} must not be in an instruction that somebody else gets as it is"
        yield ChainProblem("placeholder", message, found)


def _place(new: str, original: str, operation: ChainOperation) -> Iterator[ChainProblem]:
    """Yield a problem where the original is not followed by more, or preceded, as it should be."""
    if len(new) <= len(original):
        yield ChainProblem("not-longer", "the new instruction is not longer than the original", [])
        return
    before, found, after = plain(new).partition(plain(original))
    prefix = operation == "prefix"
    if found and not any(map(str.isalnum, before if prefix else after)):
        where = "before" if prefix else "after"
        message = f"the new task must stand {where} the original one, and nothing stands there"
        yield ChainProblem("misplaced", message, [])


def _news(chain: RewrittenChain, original: str) -> Iterator[ChainProblem]:
    """Yield a problem where no task came in: no new words, or none that asks for anything."""
    old = [set(content_words(each)) for each in sentences(original)]
    known = set().union(*old)
    new = [(each, set(content_words(each))) for each in sentences(chain.instruction)]
    fresh = [text for text, words in new if words - known]
    # "What is X? How does X work?" has no new word, but a new sentence.
    come = [words for _, words in new if words and not any(_says(words, each) for each in old)]
    if not fresh and (not come or len(new) <= len(old)):
        message = "the new instruction only says the original in other words; no task came in"
        yield ChainProblem("paraphrase", message, [])
    # Where nobody says which task is the new one, its sentences are asked.
    elif fresh and not chain.steps and not any(map(has_own_response, fresh)):
        message = f"the task {shorten(fresh[0], 200)!r} has no response of its own in an answer"
        yield ChainProblem("no-own-response", message, fresh)


def _says(words: set[str], old: set[str]) -> bool:
    """Tell whether a sentence of these words says all of an original one, but for a word or so."""
    return bool(old) and share_within(list(old), words) > _REPEATED
