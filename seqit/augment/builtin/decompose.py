"""Decompose a task into several steps, if its answer really has these parts."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from seqit.augment.builtin.options_steps import LIST_OPTIONS
from seqit.augment.builtin.slots import SLOTS
from seqit.augment.builtin.step import StepKind, build_step, pick, render_reply
from seqit.augment.builtin.task import Task
from seqit.checks import matching, text_units
from seqit.records.record import Step


@dataclass(frozen=True, slots=True)
class Decomposition:
    """The steps that replace the original task: the task itself, and steps before and after it."""

    core: list[Step]
    first: list[Step] = field(default_factory=list)  # before the whole chain
    before: list[Step] = field(default_factory=list)  # directly before the task
    after: list[Step] = field(default_factory=list)


def _unsolved_kind(name: str, *phrasings: str, family: str = "") -> StepKind:
    """Return a kind for lookups by instruction; the functions below solve it, not `solve`."""
    return StepKind(
        name, phrasings, lambda task: False, lambda task: None, family=family, result="end"
    )


REASON = _unsolved_kind(
    "reason",
    "explain your reasoning step by step",
    "reason about it step by step",
    "write down your reasoning",
)
CALCULATE = _unsolved_kind(
    "calculate",
    "work out the solution step by step",
    "show your working step by step",
    "write down the calculation",
    family="reason",
)
BRIEF_REASON = _unsolved_kind(
    "brief_reason",
    "explain your reasoning in {n}",
    "give your reasons in {n}",
    "think it through in {n}",
    family="reason",
)
RULE_OUT = _unsolved_kind(
    "rule_out",
    "rule out the options that do not fit",
    "rule out all options but the best one",
    "name the options that can be ruled out",
)
OUTLINE = _unsolved_kind(
    "outline",
    "list the main points that you are going to cover",
    "give an outline with the headings of your points",
    "name the points of your answer in a short list",
)
DETAILS = _unsolved_kind(
    "details",
    "explain your answer in more detail",
    "go into more detail",
    "add an explanation",
)
DECOMPOSE_STEPS = (REASON, CALCULATE, BRIEF_REASON, RULE_OUT, OUTLINE, DETAILS)

_SAYS_LABEL = re.compile(
    r"\b(?:an(?:s|swer)|option|choice)\b\W*(?:is\b|:)?\W*\(?([A-H])\b(?!')", re.I
)


def reason_then_answer(task: Task, core: Step, rationale: str, rng: Random) -> Decomposition | None:
    """Chain of thought: the rationale becomes a separate step before the answer."""
    text = rationale.strip()
    if len(text_units.words(text)) < 4 or text == task.answer.text.strip():
        return None
    if task.answer.is_label:
        labels = {label.upper() for label in _SAYS_LABEL.findall(text)}
        if labels and labels != {task.answer.text.strip("(). ")[-1:].upper()}:
            return None  # the rationale argues for another option
    count = 0 if re.search(r"[=*/+(]", text) else len(text_units.clear_sentences(text))
    if 1 <= count <= 4 and task.answer.number is None:
        kind = BRIEF_REASON
        clause = pick(rng, kind.phrasings).replace("{n}", SLOTS["n"][count - 1])
        check = {"kind": "exactly", "unit": "sentences", "value": count}
    else:
        kind = CALCULATE if task.answer.number is not None else REASON
        clause = pick(rng, kind.phrasings)
        check = {"kind": "at_least", "unit": "words", "value": 4}
    return Decomposition([core], before=[build_step(kind, clause, text, check)])


def list_rule_out_choose(
    task: Task, core: Step, used_keys: set[str], rng: Random
) -> Decomposition | None:
    """Multiple choice: list the options, rule out all but one, choose the remaining one."""
    names = [option.name for option in task.options]
    answer = task.answer.text.strip()
    if len(names) < 3 or answer not in names:
        return None
    others = [name for name in names if name != answer]
    text = ", ".join(others) if not any("," in name for name in others) else "\n".join(others)
    ruled_out = render_reply(pick(rng, ("Ruled out: {}", "These can be ruled out: {}")), text)
    # An option such as "can" also occurs in the reply, and would count as ruled out.
    if matching.mentioned_values(ruled_out, names) != others:
        return None
    first = []
    if LIST_OPTIONS.key not in used_keys and (solved := LIST_OPTIONS.solve(task)):
        clause = pick(rng, LIST_OPTIONS.phrasings)
        listed = render_reply(LIST_OPTIONS.replies[0], solved.text)
        first.append(build_step(LIST_OPTIONS, clause, listed, solved.check))
    elif rng.random() < 0.5:
        return None
    check = {"kind": "all_but_one", "options": names}
    rule_out = build_step(RULE_OUT, pick(rng, RULE_OUT.phrasings), ruled_out, check)
    choose: Step = {**core, "check": {"kind": "remaining", "options": names, "of": "previous"}}
    return Decomposition([choose], first=first, before=[rule_out])


_HEADED_LINE = re.compile(
    r"(?m)^(?:\d{1,2}[.)]|[-*•]) +(?:\*\*)?([^\n:*]{3,60}?)(?:\*\*)?:(?:\*\*)? +\S"
)


def outline_then_answer(task: Task, core: Step, rng: Random) -> Decomposition | None:
    """A long answer in points with headings: list the headings first."""
    points = [point.strip() for point in _HEADED_LINE.findall(task.answer.text)]
    if not 3 <= len(points) <= 12 or len(set(points)) < len(points) or "```" in task.answer.text:
        return None
    outline = "\n".join(f"{n}. {point}" for n, point in enumerate(points, 1))
    check = {"kind": "at_least", "unit": "items", "value": 3}
    covering: Step = {**core, "check": {"kind": "covers", "of": "previous"}}
    clause = pick(rng, OUTLINE.phrasings)
    return Decomposition([covering], before=[build_step(OUTLINE, clause, outline, check)])


_NO_ANSWER = re.compile(r"(?i)(?:sure|certainly|of course|sorry|i'm|i am|as an ai|hello|hi|here)\b")


def answer_then_details(task: Task, core: Step, rng: Random) -> Decomposition | None:
    """A prose answer to a question: the first sentence is the answer, the rest the details."""
    text = task.answer.text.strip()
    if not task.is_question or task.options or task.text.count("?") != 1:
        return None
    # The first sentence of a calculation, and a polite opening, are not the answer.
    if _NO_ANSWER.match(text) or "=" in text or task.numbers:
        return None
    paragraph, _, more = text.partition("\n")
    sentences = text_units.sentences(paragraph)
    if not sentences or (len(sentences) == 1 and not more.strip()) or "```" in text:
        return None
    first, rest = sentences[0], text[len(sentences[0]) :].strip()
    is_complete = first[0].isupper() and first[-1] in ".!" and 4 <= first.count(" ") <= 40
    if not is_complete or len(text_units.words(rest)) < 5 or not text.startswith(first):
        return None
    short: Step = {**core, "output": first}
    short["check"] = {"kind": "exactly", "unit": "sentences", "value": 1}
    check = {"kind": "at_least", "unit": "words", "value": 5}
    details = build_step(DETAILS, pick(rng, DETAILS.phrasings), rest, check)
    return Decomposition([short], after=[details])


def split_questions(task: Task) -> Decomposition | None:
    """Two questions whose answer has two parts, each of which answers one of them."""
    questions = text_units.sentences(task.text)
    if len(questions) != 2 or not all(question.endswith("?") for question in questions):
        return None
    text = task.answer.text.strip()
    for split in (text_units.paragraphs, text_units.lines, text_units.sentences):
        answers = split(text)
        if len(answers) != 2:
            continue
        in_order = _answers_only(answers[0], *questions)
        if in_order and _answers_only(answers[1], *reversed(questions)):
            pairs = zip(questions, answers, strict=True)
            return Decomposition([{"instruction": each, "output": part} for each, part in pairs])
    return None


def _answers_only(answer: str, question: str, other: str) -> bool:
    """Return whether the answer has words that only this question has, and none of the other's."""
    answer_words, words, other_words = (
        {word.casefold() for word in text_units.words(text) if len(word) > 3}
        for text in (answer, question, other)
    )
    return bool(answer_words & (words - other_words)) and not answer_words & (other_words - words)


def decompose(
    task: Task, core: Step, rationale: str, used_keys: set[str], rng: Random
) -> Decomposition | None:
    """Return the first decomposition that applies, in random order; None if none does."""
    strategies: list[Callable[[], Decomposition | None]] = []
    if rationale and REASON.key not in used_keys:
        strategies.append(lambda: reason_then_answer(task, core, rationale, rng))
    if task.is_multiple_choice and RULE_OUT.key not in used_keys:
        strategies.append(lambda: list_rule_out_choose(task, core, used_keys, rng))
    if not rationale and OUTLINE.key not in used_keys and DETAILS.key not in used_keys:
        strategies.append(lambda: split_questions(task))
        strategies.append(lambda: outline_then_answer(task, core, rng))
        strategies.append(lambda: answer_then_details(task, core, rng))
    rng.shuffle(strategies)
    for strategy in strategies:
        if found := strategy():
            return found
    return None
