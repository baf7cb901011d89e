"""Multiple-choice questions with one correct choice: MMLU, ARC, CommonsenseQA and others."""

from string import ascii_uppercase
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    require_not_blank,
    require_object,
    required_text,
    with_metadata,
)
from seqit.records.validation import describe

_ANSWERS = ("answer", "answerKey")


def matches(row: Any) -> bool:
    """Return whether the row has a question with choices, and no image."""
    if not isinstance(row, dict) or "image" in row:
        return False
    question = row.get("question")
    if isinstance(question, dict):  # as ARC and CommonsenseQA were first published
        return "stem" in question and isinstance(question.get("choices"), list)
    return isinstance(question, str) and isinstance(row.get("choices"), list | dict)


def to_records(row: Any) -> list[Fields]:
    """Return the question as instruction, the choices with their labels as input.

    The output is the label of the correct choice, as in ``(B)``; empty if the row has none. All
    columns but the question's stay in the metadata.
    """
    row = require_object(row, "'question', 'choices' and 'answer'")
    question = row.get("question")
    if isinstance(question, dict):
        stem = required_text(question, "stem")
        choices, column = question.get("choices"), "question.choices"
    else:
        stem, column = required_text(row, "question"), "choices"
        choices = row.get(column)
    labelled = _labelled(choices, column)
    fields: Fields = {
        "instruction": require_not_blank(stem, "question"),
        "input": "\n".join(f"({label}) {text}" for label, text in labelled),
        "output": _answer(row, [label for label, _ in labelled]),
    }
    return [with_metadata(fields, row, ("question",))]


def _labelled(choices: Any, column: str) -> list[tuple[str, str]]:
    """Return the choices as (label, text).

    The column has texts; {text, label}, each a list; or a list of {label, text}.
    """
    labels: Any = None
    texts = choices
    if isinstance(choices, dict):
        texts, labels = choices.get("text"), choices.get("label")
    elif isinstance(choices, list) and all(isinstance(each, dict) for each in choices):
        texts = [each.get("text") for each in choices]
        labels = [each.get("label") for each in choices]
    if not isinstance(texts, list) or not texts or not all(type(text) is str for text in texts):
        raise RowError(f"expected the choices' texts, found {describe(choices)}", column)
    if labels is None:
        labels = [*ascii_uppercase[: len(texts)]]
    if not isinstance(labels, list) or [type(label) for label in labels] != [str] * len(texts):
        raise RowError("expected a label for each choice", column)
    return list(zip(labels, texts, strict=True))


def _answer(row: dict[str, Any], labels: list[str]) -> str:
    column = next((name for name in _ANSWERS if row.get(name) not in (None, "")), None)
    if column is None:
        return ""
    answer = row[column]
    if type(answer) is int and 0 <= answer < len(labels):  # MMLU counts from 0
        return f"({labels[answer]})"
    if answer in labels:
        return f"({answer})"
    expected = f"one of the labels {', '.join(labels)} or the choice's place, from 0"
    raise RowError(f"expected {expected}, found {describe(answer)}", column)


FORMAT = Format(
    "multiple-choice",
    "question, choices, answer or answerKey (MMLU, ARC, CommonsenseQA)",
    matches,
    to_records,
)
