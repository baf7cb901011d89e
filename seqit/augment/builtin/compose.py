"""Compose the instruction of a chain: one natural text for the task and the steps around it."""

import re
from collections.abc import Callable, Sequence
from random import Random

from seqit.augment.builtin.step import pick

# Verbs that can begin a request; only these are lower-cased inside a sentence.
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


class OriginalTask:
    """The original task, and how it can be embedded in the instruction of a chain."""

    def __init__(
        self, text: str, is_question: bool, asks_several: bool = False, is_brief: bool = False
    ) -> None:
        self.text = text
        self.is_question = is_question
        self.asks_several = asks_several  # several questions, answered one after the other
        self.is_brief = is_brief  # the answer is one sentence, and a later step gives the details
        bare = text.strip()
        self.is_one_line = "\n" not in bare and len(bare) < 400 and bare == text
        self.asks_inline = self.is_one_line and bare.endswith(("?", "？"))
        first = _FIRST_WORD.match(bare)
        self.opens_with_verb = first is not None and first[0].lower() in _VERBS
        self.verb_clause = "" if is_question else self._verb_clause(bare)

    def _verb_clause(self, bare: str) -> str:
        """Return the request as a clause; "" unless it is a short sentence with a leading verb."""
        body = bare.removesuffix(".")
        short = self.is_one_line and len(bare) < 160 and not re.search(r"[.!?:;]\s|[!?:…]$", body)
        if not self.opens_with_verb or not short:
            return ""
        return body[0].lower() + body[1:]

    def task_clause(self, pointer: str) -> str:
        """Return a clause that asks for the answer.

        pointer: says where the task's text is, such as "the {} below".
        """
        if self.asks_several:
            pointer = pointer.replace("this", "these")
            return f"answer {pointer.format('questions')} one after the other"
        if not self.is_question:
            if self.opens_with_verb:
                return f"complete {pointer.format('task')}"
            return f"respond to {pointer.format('request')}"
        return self.answer_clause(pointer.format("question"))

    def answer_clause(self, question: str) -> str:
        return f"answer {question}" + (" in one sentence" if self.is_brief else "")


_Layout = Callable[[OriginalTask, Sequence[str], Sequence[str], Random], str]


def compose(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """Return the instruction of a chain; the clauses are imperatives without a full stop."""
    if not before and not after:
        return _task_only(original)
    layouts: tuple[_Layout, ...]
    if original.verb_clause:
        layouts = (_request_in_flow, _request_in_flow, _request_first if not before else _below)
    elif original.asks_inline and len(before) < 3:
        layouts = (_below, _question_last, _question_first, _before_you)
    else:
        layouts = (_below, _below, _before_you)
    return pick(rng, layouts)(original, before, after, rng)


def _task_only(original: OriginalTask) -> str:
    clause = original.task_clause("the {} below")
    return f"{_sentence(clause)}\n\n{original.text}" if original.asks_several else original.text


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".")


def join_clauses(clauses: Sequence[str], rng: Random) -> str:
    """Join clauses in their order, without initial capital and full stop."""
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


def _opening_sentence(clauses: Sequence[str], rng: Random) -> str:
    """Join clauses to a sentence, at random with "First" in front if there are several."""
    text = join_clauses(clauses, rng)
    return _sentence(f"first {text}" if len(clauses) > 1 and rng.random() < 0.5 else text)


def _follow_up(after: Sequence[str], rng: Random, starts: tuple[str, ...]) -> str:
    """Return the sentence for the steps after the answer, with a leading space; "" for none."""
    return f" {pick(rng, starts)}{join_clauses(after, rng)}." if after else ""


def _point_to_question(
    original: OriginalTask, clauses: Sequence[str], pointer: str
) -> tuple[list[str], str | None]:
    """Replace the first mention of the question in the clauses by a pointer to it.

    Return the clauses, and the clause that asks for the answer; None if no clause mentions it.
    """
    found = list(clauses)
    for index, clause in enumerate(found):
        if not original.asks_several and _THE_QUESTION.search(clause):
            found[index] = _THE_QUESTION.sub(pointer.format("question"), clause, count=1)
            is_last = index == len(found) - 1
            return found, original.answer_clause("it" if is_last else "the question")
    return found, None


def _below(original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random) -> str:
    """First …, then answer the question below, and finally ….  QUESTION"""
    front, answer = _point_to_question(original, before, "the {} below")
    answer = answer or original.task_clause("the {} below")
    return f"{_opening_sentence([*front, answer, *after], rng)}\n\n{original.text}"


def _before_you(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """Before you answer the question below, …. After answering, ….  QUESTION"""
    if not before or original.is_brief:
        return _below(original, before, after, rng)
    front = [_THE_QUESTION.sub("it", before[0], count=1)] if len(before) == 1 else before
    lead = f"Before you {original.task_clause('the {} below')}, {join_clauses(front, rng)}."
    # "Then" could be read as directly after the steps in front: say that the answer comes first.
    starts = _ONCE_ANSWERED if original.is_question else _ONCE_DONE
    return f"{lead}{_follow_up(after, rng, starts)}\n\n{original.text}"


def _question_last(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """First …, then answer this question: QUESTION Afterwards, …."""
    front, answer = _point_to_question(original, before, "the following {}")
    answer = answer or original.task_clause("this {}")
    lead = _opening_sentence([*front, answer], rng).removesuffix(".")
    return f"{lead}: {original.text}{_follow_up(after, rng, _ONCE_ANSWERED + _THEREAFTER)}"


def _question_first(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """QUESTION Before you answer, …. After answering, …."""
    if original.is_brief:
        clauses = [*before, "answer in one sentence", *after]
        return f"{original.text} {_opening_sentence(clauses, rng)}"
    if not before:
        return original.text + _follow_up(after, rng, _ONCE_ANSWERED + _THEREAFTER)
    start = pick(rng, ("Before you answer, ", "Before answering, "))
    lead = f" {start}{join_clauses(before, rng)}."
    return original.text + lead + _follow_up(after, rng, _ONCE_ANSWERED)


def _request_in_flow(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """First …, then REQUEST. After that, …."""
    if not before:
        return _request_first(original, before, after, rng)
    text = _opening_sentence([*before, original.verb_clause], rng)
    return text + _follow_up(after, rng, _ONCE_DONE[:1] + _THEREAFTER)


def _request_first(
    original: OriginalTask, before: Sequence[str], after: Sequence[str], rng: Random
) -> str:
    """REQUEST. Then …."""
    text = original.text if original.text.endswith(".") else f"{original.text}."
    return text + _follow_up(after, rng, _ONCE_DONE[:1] + _THEREAFTER)
