"""A rewritten instruction, and the checks to pass before it is answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from seqit.augment.form import FieldValues
from seqit.augment.seq_instruct.llm.chain_steps import ChainProblem, fold_text, step_problems
from seqit.augment.seq_instruct.llm.source import RewriteSource, material
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.checks.own_response import has_own_response, may_be_a_request
from seqit.checks.placeholder import leftovers
from seqit.checks.retained import lost_content
from seqit.checks.text_units import sentences
from seqit.checks.words import content_words, share_within
from seqit.llm.model_call import CheckFailed
from seqit.records.record import Record
from seqit.records.text.quotes import strip_quotes
from seqit.records.validation import shorten

_MIN_QUESTION_OVERLAP = 0.3  # share of a question's words in a sentence that still asks it
_SAME_SENTENCE_OVERLAP = 0.9  # above this share of its words, a sentence is the original one
_MIN_COPIED_CHARACTERS = 20  # a shorter input may occur in the instruction by coincidence


@dataclass(frozen=True, slots=True)
class RewrittenChain:
    """A rewritten instruction and its tasks in order; no tasks if the format has none."""

    instruction: str
    steps: list[str]

    @classmethod
    def from_fields(cls, values: FieldValues) -> "RewrittenChain":
        """Return the chain in an answer's fields."""
        return cls(strip_quotes(values["instruction"]), _strip_numbers(values.get("steps", [])))


def check_chain(
    chain: RewrittenChain, record: Record, source: RewriteSource, operation: ChainOperation
) -> RewrittenChain:
    """Return the chain; raises CheckFailed, with all problems, if a check fails."""
    if problems := list(chain_problems(chain, record, source, operation)):
        evidence = {"problems": [problem._asdict() for problem in problems]}
        raise CheckFailed(
            "; ".join(each.message for each in problems), problems[0].reason, evidence
        )
    return chain


def chain_problems(
    chain: RewrittenChain, record: Record, source: RewriteSource, operation: ChainOperation
) -> Iterator[ChainProblem]:
    """Yield the problems of a chain, the most severe first.

    Reasons: placeholder, unchanged, not-longer, misplaced, content-lost, input-copied, no-task,
    paraphrase, no-own-response, and those of step_problems.
    """
    new, original, context = chain.instruction, source.instruction, material(record, source)
    yield from _placeholder_problems(chain, record)
    if fold_text(new) == fold_text(original):
        yield ChainProblem("unchanged", "the new instruction is the original one", [])
        return
    if operation != "decompose":
        yield from _position_problems(new, original, operation)
    lost = lost_content(original, new, context, rephrased=operation == "decompose")
    if lost:
        texts = "; ".join(f"{each.kind} {shorten(each.text, 300)!r}" for each in lost[:8])
        message = f"the new instruction lacks what the original holds: {texts}"
        yield ChainProblem("content-lost", message, [each._asdict() for each in lost])
    if operation != "decompose" and (unasked := _unasked_questions(original, new)):
        message = f"the question {shorten(unasked[0], 200)!r} must still be asked, not answered"
        yield ChainProblem("no-task", message, unasked)
    folded = fold_text(context)
    if len(folded) >= _MIN_COPIED_CHARACTERS and folded in fold_text(new):
        message = "the new instruction repeats the input, which stays beside it anyway"
        yield ChainProblem("input-copied", message, [])
    yield from _new_task_problems(chain, original)
    yield from step_problems(chain.steps, new, record, source, operation)


def _strip_numbers(steps: list[str]) -> list[str]:
    """Return the steps without their numbers, if all are numbered in order."""
    numbered = (re.match(rf"(?:step )?{n}[.):]\s+", text, re.I) for n, text in enumerate(steps, 1))
    ends = [match.end() if match else 0 for match in numbered]
    return [text[end:] for text, end in zip(steps, ends, strict=True)] if all(ends) else steps


def _unasked_questions(original: str, new: str) -> list[str]:
    """Return the original's questions that no sentence of the new instruction asks.

    Works for English only.
    """
    if "?" in new or not new.isascii():
        return []
    requests = [set(content_words(each)) for each in sentences(new) if may_be_a_request(each)]
    questions = {each: content_words(each) for each in sentences(original) if each.endswith("?")}
    return [
        question
        for question, words in questions.items()
        if words and all(share_within(words, each) < _MIN_QUESTION_OVERLAP for each in requests)
    ]


def _placeholder_problems(chain: RewrittenChain, record: Record) -> Iterator[ChainProblem]:
    turns = [text for turn in record.get("history", ()) for text in turn]
    known = "\n".join([record["instruction"], record["input"], record.get("system", ""), *turns])
    texts = [chain.instruction, *chain.steps]
    if found := list(dict.fromkeys(each for text in texts for each in leftovers(text, known))):
        names = ", ".join(repr(shorten(each)) for each in found)
        message = f"{names} must not be in an instruction that somebody else gets as it is"
        yield ChainProblem("placeholder", message, found)


def _position_problems(
    new: str, original: str, operation: ChainOperation
) -> Iterator[ChainProblem]:
    """Yield a problem if the new task is not on the required side of the original."""
    if len(new) <= len(original):
        yield ChainProblem("not-longer", "the new instruction is not longer than the original", [])
        return
    before, found, after = fold_text(new).partition(fold_text(original))
    prefix = operation == "prefix"
    if found and not any(map(str.isalnum, before if prefix else after)):
        where = "before" if prefix else "after"
        message = f"the new task must stand {where} the original one, and nothing stands there"
        yield ChainProblem("misplaced", message, [])


def _new_task_problems(chain: RewrittenChain, original: str) -> Iterator[ChainProblem]:
    """Yield a problem if no task was added: no new words, or none that asks for anything."""
    old = [set(content_words(each)) for each in sentences(original)]
    old_words = set().union(*old)
    new = [(each, set(content_words(each))) for each in sentences(chain.instruction)]
    with_new_words = [text for text, words in new if words - old_words]
    # "What is X? How does X work?" has no new word, but a new sentence.
    new_sentences = [
        words for _, words in new if words and not any(_repeats(words, each) for each in old)
    ]
    if not with_new_words and (not new_sentences or len(new) <= len(old)):
        message = "the new instruction only says the original in other words; no task came in"
        yield ChainProblem("paraphrase", message, [])
    # Without steps, the new task is not known: one of the new sentences must ask for something.
    elif with_new_words and not chain.steps and not any(map(has_own_response, with_new_words)):
        text = shorten(with_new_words[0], 200)
        message = f"the task {text!r} has no response of its own in an answer"
        yield ChainProblem("no-own-response", message, with_new_words)


def _repeats(words: set[str], old: set[str]) -> bool:
    """Return whether a sentence's words include nearly all of an original sentence's words."""
    return bool(old) and share_within(list(old), words) > _SAME_SENTENCE_OVERLAP
