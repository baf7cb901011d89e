"""Multiple choice by letter: CommonsenseQA, ARC, MMLU."""

import re

from seqit.evaluate.metrics.base import EMPTY, MetricValue, Scorer, Unscorable, reference_of
from seqit.records.record import Record

_CHOICE = re.compile(r"^\((\w{1,2})\) (.*)$", re.M)
_WRAP = r"[\s*_`\"'(\[]*"


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy: 1 if the answer chooses the right label, else 0; raises Unscorable."""
    right = reference_of(item).strip("()")
    choices = {label: text.strip() for label, text in _CHOICE.findall(item["input"])}
    if right not in choices:
        message = f"the right answer ({right}) is none of the choices in the item's input"
        raise Unscorable("no-reference", message, "item.output")
    chosen = find_choice(answer, choices)
    if chosen is None:
        reason = "no-choice" if answer else EMPTY
        return [MetricValue("accuracy", 0.0, reason, {"expected": right})]
    return [
        MetricValue("accuracy", float(chosen == right), "", {"found": chosen, "expected": right})
    ]


def find_choice(answer: str, choices: dict[str, str]) -> str | None:
    """Return the label that the answer chooses, or None.

    The first of these rules that matches decides: the last statement of a choice ("the answer is
    (B)", "Answer: B", a boxed B); a label at the beginning, alone or followed by a full stop or
    bracket; an answer that equals one choice's text; the only label in brackets.
    """
    labels = "|".join(map(re.escape, choices))
    stated = re.compile(
        rf"(?:\b(?:answer|choice|option)\b(?:\s+(?:is|should\s+be|would\s+be|letter))*{_WRAP}[:=]?"
        rf"|\\boxed\s*\{{(?:\\text\s*\{{)?){_WRAP}({labels})(?![\w'’-]|\s+(?:and|or)\b)"
    )
    first = re.compile(rf"{_WRAP}({labels})(?:[\s*_`\"'\])]*\Z|[*_`\"']*[.:)\]](?!\w)|\s*\n)")
    folded = {label.casefold(): label for label in choices}
    if found := [match[1] for match in stated.finditer(answer.replace("Answer", "answer"))]:
        return found[-1]
    if match := first.match(answer):
        return match[1]
    bare = answer.strip(" .*_`\"'()").casefold()
    if bare in folded:
        return folded[bare]
    matching = [label for label, text in choices.items() if text.casefold().strip(" .") == bare]
    if len(matching) == 1:
        return matching[0]
    bracketed = set(re.findall(rf"\(({labels})\)", answer))
    return bracketed.pop() if len(bracketed) == 1 else None


SCORER = Scorer("choices", "accuracy: the letter that the answer chooses", score)
