"""Put a chain into words: one instruction that reads as a person would have asked it."""

import re
from collections.abc import Callable, Sequence
from random import Random

from seqit.augment.builtin.step import pick

# Verbs that can open a request; only these are lower-cased inside a sentence.
# fmt: off
_VERBS = frozenset((
    "add", "analyze", "answer", "arrange", "brainstorm", "calculate", "categorize", "change",
    "choose", "classify", "combine", "compare", "complete", "compose", "compute", "convert",
    "correct", "create", "decide", "define", "describe", "design", "detect", "determine",
    "develop", "discuss", "draft", "edit", "estimate", "evaluate", "explain", "extract", "fill",
    "find", "fix", "generate", "give", "guess", "identify", "imagine", "implement", "improve",
    "infer", "invent", "list", "make", "match", "mention", "name", "offer", "order", "organize",
    "outline", "paraphrase", "pick", "plan", "predict", "prepare", "present", "produce",
    "propose", "provide", "rank", "rate", "recommend", "remove", "reorder", "replace", "rephrase",
    "rewrite", "reword", "select", "show", "simplify", "solve", "sort", "specify", "split",
    "state", "suggest", "summarize", "tell", "transform", "translate", "turn", "verify", "write",
))
# fmt: on
_THE_QUESTION = re.compile(r"\bthe question\b(?! word(?! for)| mark)")
_ONCE_DONE = ("When you are done, ", "Once that is done, ")
_ONCE_ANSWERED = ("After answering, ", "Once you have answered, ")
_THEREAFTER = ("Then ", "After that, ")
_FIRST_WORD = re.compile(r"[A-Z][a-z]+(?= )")


class Original:
    """The original task inside the instruction, and how it may be placed in a sentence."""

    def __init__(
        self, text: str, is_question: bool, several: bool = False, brief: bool = False
    ) -> None:
        self.text = text
        self.is_question = is_question
        self.several = several  # it is several questions, answered one after the other
        self.brief = brief  # its answer is one sentence, with the details in a step of their own
        bare = text.strip()
        self.one_line = "\n" not in bare and len(bare) < 400 and bare == text
        self.asks_inline = self.one_line and bare.endswith(("?", "？"))
        first = _FIRST_WORD.match(bare)
        self.opens_with_verb = first is not None and first[0].lower() in _VERBS
        self.verb_clause = "" if is_question else self._verb_clause(bare)

    def _verb_clause(self, bare: str) -> str:
        """Return the request as a clause, where it is one short sentence that opens with a verb."""
        body = bare.removesuffix(".")
        short = self.one_line and len(bare) < 160 and not re.search(r"[.!?:;]\s|[!?:…]$", body)
        if not self.opens_with_verb or not short:
            return ""
        return body[0].lower() + body[1:]

    def clause(self, pointer: str) -> str:
        """Ask for the answer; the pointer says where the task stands, as in "the {} below"."""
        if self.several:
            pointer = pointer.replace("this", "these")
            return f"answer {pointer.format('questions')} one after the other"
        if not self.is_question:
            if self.opens_with_verb:
                return f"complete {pointer.format('task')}"
            return f"respond to {pointer.format('request')}"
        return self.answered(pointer.format("question"))

    def answered(self, question: str) -> str:
        return f"answer {question}" + (" in one sentence" if self.brief else "")


_Layout = Callable[[Original, Sequence[str], Sequence[str], Random], str]


def compose(original: Original, before: Sequence[str], after: Sequence[str], rng: Random) -> str:
    """Return the instruction of a chain; the clauses are imperatives without a final stop."""
    if not before and not after:
        return _alone(original)
    layouts: tuple[_Layout, ...]
    if original.verb_clause:
        layouts = (_request_in_flow, _request_in_flow, _request_first if not before else _below)
    elif original.asks_inline and len(before) < 3:
        layouts = (_below, _question_last, _question_first, _before_you)
    else:
        layouts = (_below, _below, _before_you)
    return pick(rng, layouts)(original, before, after, rng)


def _alone(original: Original) -> str:
    clause = original.clause("the {} below")
    return f"{_sentence(clause)}\n\n{original.text}" if original.several else original.text


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".")


def flow(clauses: Sequence[str], rng: Random) -> str:
    """Join clauses in their order, without a capital and a final stop."""
    count = len(clauses)
    if count == 1:
        return clauses[0]
    if count == 2:
        short = len(clauses[0]) < 60 and " and " not in clauses[0] and "," not in clauses[0]
        link = pick(rng, (" and then ", ", then ")) if short else ", then "
        return clauses[0] + link + clauses[1]
    if count == 3:
        return f"{clauses[0]}, then {clauses[1]}, and finally {clauses[2]}"
    head, tail = clauses[: count - 2], clauses[count - 2 :]
    link = pick(rng, ("After that, ", "Next, "))
    return f"{', then '.join(head)}. {link}{tail[0]}, and finally {tail[1]}"


def _first(clauses: Sequence[str], rng: Random) -> str:
    """Join clauses to a sentence, with or without a "First" in front."""
    text = flow(clauses, rng)
    return _sentence(f"first {text}" if len(clauses) > 1 and rng.random() < 0.5 else text)


def _afterwards(after: Sequence[str], rng: Random, starts: tuple[str, ...]) -> str:
    """Say what follows the answer, as a sentence with a space in front, or nothing."""
    return f" {pick(rng, starts)}{flow(after, rng)}." if after else ""


def _pointing(
    original: Original, clauses: Sequence[str], pointer: str
) -> tuple[list[str], str | None]:
    """Point to the question where a clause first mentions it.

    Return the clauses, and the clause that asks for the answer; None where no clause mentions it.
    """
    found = list(clauses)
    for place, clause in enumerate(found):
        if not original.several and _THE_QUESTION.search(clause):
            found[place] = _THE_QUESTION.sub(pointer.format("question"), clause, count=1)
            near = place == len(found) - 1
            return found, original.answered("it" if near else "the question")
    return found, None


def _below(original: Original, before: Sequence[str], after: Sequence[str], rng: Random) -> str:
    """First …, then answer the question below, and finally ….  QUESTION"""
    front, answer = _pointing(original, before, "the {} below")
    answer = answer or original.clause("the {} below")
    return f"{_first([*front, answer, *after], rng)}\n\n{original.text}"


def _before_you(
    original: Original, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """Before you answer the question below, …. After answering, ….  QUESTION"""
    if not before or original.brief:
        return _below(original, before, after, rng)
    front = [_THE_QUESTION.sub("it", before[0], count=1)] if len(before) == 1 else before
    lead = f"Before you {original.clause('the {} below')}, {flow(front, rng)}."
    # "Then" could follow on the steps in front: say that the answer comes first.
    starts = _ONCE_ANSWERED if original.is_question else _ONCE_DONE
    return f"{lead}{_afterwards(after, rng, starts)}\n\n{original.text}"


def _question_last(
    original: Original, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """First …, then answer this question: QUESTION Afterwards, …."""
    front, answer = _pointing(original, before, "the following {}")
    answer = answer or original.clause("this {}")
    lead = _first([*front, answer], rng).removesuffix(".")
    return f"{lead}: {original.text}{_afterwards(after, rng, _ONCE_ANSWERED + _THEREAFTER)}"


def _question_first(
    original: Original, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """QUESTION Before you answer, …. After answering, …."""
    if original.brief:
        return f"{original.text} {_first([*before, 'answer in one sentence', *after], rng)}"
    if not before:
        return original.text + _afterwards(after, rng, _ONCE_ANSWERED + _THEREAFTER)
    lead = f" {pick(rng, ('Before you answer, ', 'Before answering, '))}{flow(before, rng)}."
    return original.text + lead + _afterwards(after, rng, _ONCE_ANSWERED)


def _request_in_flow(
    original: Original, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """First …, then REQUEST. After that, …."""
    if not before:
        return _request_first(original, before, after, rng)
    text = _first([*before, original.verb_clause], rng)
    return text + _afterwards(after, rng, _ONCE_DONE[:1] + _THEREAFTER)


def _request_first(
    original: Original, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """REQUEST. Then …."""
    text = original.text if original.text.endswith(".") else f"{original.text}."
    return text + _afterwards(after, rng, _ONCE_DONE[:1] + _THEREAFTER)
