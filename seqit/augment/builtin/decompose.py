"""Decompositions: one task becomes several, where the answer really has these parts."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from seqit.augment.builtin.options_steps import LIST_OPTIONS
from seqit.augment.builtin.slots import SLOTS
from seqit.augment.builtin.step import StepKind, as_step, pick, reply
from seqit.augment.builtin.task import Task
from seqit.checks import measures, readings
from seqit.records.record import Step


@dataclass(frozen=True, slots=True)
class Parts:
    """What takes the place of the original task: steps before it, itself, steps after it."""

    core: list[Step]
    first: list[Step] = field(default_factory=list)  # in front of the whole chain
    before: list[Step] = field(default_factory=list)  # right before the task
    after: list[Step] = field(default_factory=list)


def _kind(name: str, *phrasings: str, family: str = "") -> StepKind:
    """An entry for the way back from wording to kind; the functions below solve it."""
    return StepKind(
        name, phrasings, lambda task: False, lambda task: None, family=family, gives="end"
    )


REASON = _kind(
    "reason",
    "explain your reasoning step by step",
    "reason about it step by step",
    "write down your reasoning",
)
CALCULATE = _kind(
    "calculate",
    "work out the solution step by step",
    "show your working step by step",
    "write down the calculation",
    family="reason",
)
BRIEF_REASON = _kind(
    "brief_reason",
    "explain your reasoning in {n}",
    "give your reasons in {n}",
    "think it through in {n}",
    family="reason",
)
RULE_OUT = _kind(
    "rule_out",
    "rule out the options that do not fit",
    "rule out all options but the best one",
    "name the options that can be ruled out",
)
OUTLINE = _kind(
    "outline",
    "list the main points that you are going to cover",
    "give an outline with the headings of your points",
    "name the points of your answer in a short list",
)
DETAILS = _kind(
    "details",
    "explain your answer in more detail",
    "go into more detail",
    "add an explanation",
)
DECOMPOSE_STEPS = (REASON, CALCULATE, BRIEF_REASON, RULE_OUT, OUTLINE, DETAILS)

_SAYS_LABEL = re.compile(
    r"\b(?:an(?:s|swer)|option|choice)\b\W*(?:is\b|:)?\W*\(?([A-H])\b(?!')", re.I
)


def reason_then_answer(task: Task, core: Step, rationale: str, rng: Random) -> Parts | None:
    """Chain of thought: the rationale becomes a step of its own in front of the answer."""
    text = rationale.strip()
    if len(measures.words(text)) < 4 or text == task.answer.text.strip():
        return None
    if task.answer.is_label:
        said = {label.upper() for label in _SAYS_LABEL.findall(text)}
        if said and said != {task.answer.text.strip("(). ")[-1:].upper()}:
            return None  # the rationale argues for another option
    count = 0 if re.search(r"[=*/+(]", text) else len(measures.clear_sentences(text))
    if 1 <= count <= 4 and task.answer.number is None:
        kind = BRIEF_REASON
        clause = pick(rng, kind.phrasings).replace("{n}", SLOTS["n"][count - 1])
        check = {"kind": "exactly", "unit": "sentences", "value": count}
    else:
        kind = CALCULATE if task.answer.number is not None else REASON
        clause = pick(rng, kind.phrasings)
        check = {"kind": "at_least", "unit": "words", "value": 4}
    return Parts([core], before=[as_step(kind, clause, text, check)])


def list_rule_out_choose(task: Task, core: Step, used: set[str], rng: Random) -> Parts | None:
    """Multiple choice: list the options, rule out the others, choose the one that is left."""
    names = [option.name for option in task.options]
    answer = task.answer.text.strip()
    if len(names) < 3 or answer not in names:
        return None
    others = [name for name in names if name != answer]
    text = ", ".join(others) if not any("," in name for name in others) else "\n".join(others)
    ruled_out = reply(pick(rng, ("Ruled out: {}", "These can be ruled out: {}")), text)
    # An option such as "can", named in passing, could not be told from those ruled out.
    if readings.named(ruled_out, names) != others:
        return None
    first = []
    if LIST_OPTIONS.key not in used and (solved := LIST_OPTIONS.solve(task)):
        clause = pick(rng, LIST_OPTIONS.phrasings)
        listed = reply(LIST_OPTIONS.replies[0], solved.text)
        first.append(as_step(LIST_OPTIONS, clause, listed, solved.check))
    elif rng.random() < 0.5:
        return None
    check = {"kind": "all_but_one", "options": names}
    out = as_step(RULE_OUT, pick(rng, RULE_OUT.phrasings), ruled_out, check)
    chosen: Step = {**core, "check": {"kind": "remaining", "options": names, "of": "previous"}}
    return Parts([chosen], first=first, before=[out])


_HEADED_LINE = re.compile(
    r"(?m)^(?:\d{1,2}[.)]|[-*•]) +(?:\*\*)?([^\n:*]{3,60}?)(?:\*\*)?:(?:\*\*)? +\S"
)


def outline_then_answer(task: Task, core: Step, rng: Random) -> Parts | None:
    """A long answer in headed points: name the points first."""
    points = [point.strip() for point in _HEADED_LINE.findall(task.answer.text)]
    if not 3 <= len(points) <= 12 or len(set(points)) < len(points) or "```" in task.answer.text:
        return None
    outline = "\n".join(f"{n}. {point}" for n, point in enumerate(points, 1))
    check = {"kind": "at_least", "unit": "items", "value": 3}
    covering: Step = {**core, "check": {"kind": "covers", "of": "previous"}}
    clause = pick(rng, OUTLINE.phrasings)
    return Parts([covering], before=[as_step(OUTLINE, clause, outline, check)])


_NO_ANSWER = re.compile(r"(?i)(?:sure|certainly|of course|sorry|i'm|i am|as an ai|hello|hi|here)\b")


def answer_then_details(task: Task, core: Step, rng: Random) -> Parts | None:
    """A prose answer to a question: its first sentence answers, the rest explains."""
    text = task.answer.text.strip()
    if not task.is_question or task.options or task.text.count("?") != 1:
        return None
    # The first sentence of a calculation or of a polite opening is no answer yet.
    if _NO_ANSWER.match(text) or "=" in text or task.numbers:
        return None
    paragraph, _, more = text.partition("\n")
    found = measures.sentences(paragraph)
    if not found or (len(found) == 1 and not more.strip()) or "```" in text:
        return None
    first, rest = found[0], text[len(found[0]) :].strip()
    complete = first[0].isupper() and first[-1] in ".!" and 4 <= first.count(" ") <= 40
    if not complete or len(measures.words(rest)) < 5 or not text.startswith(first):
        return None
    short: Step = {**core, "output": first}
    short["check"] = {"kind": "exactly", "unit": "sentences", "value": 1}
    check = {"kind": "at_least", "unit": "words", "value": 5}
    return Parts([short], after=[as_step(DETAILS, pick(rng, DETAILS.phrasings), rest, check)])


def split_questions(task: Task, core: Step) -> Parts | None:
    """Two questions whose answer has two parts, each about its own question."""
    asked = measures.sentences(task.text)
    if len(asked) != 2 or not all(question.endswith("?") for question in asked):
        return None
    text = task.answer.text.strip()
    for cut in (measures.paragraphs, measures.lines, measures.sentences):
        told = cut(text)
        if len(told) == 2 and _about(told[0], *asked) and _about(told[1], *reversed(asked)):
            pairs = zip(asked, told, strict=True)
            return Parts([{"instruction": question, "output": part} for question, part in pairs])
    return None


def _about(part: str, own: str, other: str) -> bool:
    """Say whether the part takes up a word of its own question that the other one lacks."""
    said, mine, theirs = (
        {word.casefold() for word in measures.words(text) if len(word) > 3}
        for text in (part, own, other)
    )
    return bool(said & (mine - theirs)) and not said & (theirs - mine)


def decompose(task: Task, core: Step, rationale: str, used: set[str], rng: Random) -> Parts | None:
    """Return the first decomposition that fits, in an order that is drawn."""
    ways: list[Callable[[], Parts | None]] = []
    if rationale and REASON.key not in used:
        ways.append(lambda: reason_then_answer(task, core, rationale, rng))
    if task.offers_choice and RULE_OUT.key not in used:
        ways.append(lambda: list_rule_out_choose(task, core, used, rng))
    if not rationale and OUTLINE.key not in used and DETAILS.key not in used:
        ways.append(lambda: split_questions(task, core))
        ways.append(lambda: outline_then_answer(task, core, rng))
        ways.append(lambda: answer_then_details(task, core, rng))
    rng.shuffle(ways)
    for way in ways:
        if parts := way():
            return parts
    return None
