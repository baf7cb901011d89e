"""SQuAD's document, also XQuAD's and MLQA's: questions on paragraphs, answers are spans of them."""

from collections.abc import Iterator
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import Fields, Format, require_object, required_text, with_metadata
from seqit.records.validation import describe

_KNOWN = frozenset(("question", "context"))


def matches(row: Any) -> bool:
    """Return whether the row is a whole document: {"data": [{"paragraphs": …}]}."""
    if not isinstance(row, dict) or not isinstance(row.get("data"), list):
        return False
    return any(isinstance(article, dict) and "paragraphs" in article for article in row["data"])


def items(document: Any) -> Iterator[Any]:
    """Yield each question with the columns of its paragraph, its article and the document.

    An object that cannot be split, or has a column of the same name as an outer level, is yielded
    unchanged: `to_records` refuses it, and the others continue.
    """
    for article in _inner(document, "data"):
        for paragraph in _inner(article, "paragraphs"):
            yield from _inner(paragraph, "qas")


def _inner(outer: Any, key: str) -> Iterator[Any]:
    """Yield the objects of the list `outer[key]`, joined with the other columns of `outer`."""
    listed = outer.get(key) if isinstance(outer, dict) else None
    if not isinstance(listed, list):
        yield outer
        return
    columns = {name: value for name, value in outer.items() if name != key}
    for item in listed:
        joinable = isinstance(item, dict) and columns.keys().isdisjoint(item)
        yield {**columns, **item} if joinable else item


def to_records(row: Any) -> list[Fields]:
    """Return the question's record: its input is the paragraph, its output the first answer.

    `metadata` has the question's id, the title, and all answers with the offsets of their spans.
    A question without an answer in the paragraph (SQuAD 2.0) has an empty output.
    """
    row = require_object(row, "'question', 'context' and 'answers'")
    fields = {
        "instruction": required_text(row, "question"),
        "input": required_text(row, "context"),
        "output": _first_answer(row.get("answers", [])),
    }
    return [with_metadata(fields, row, _KNOWN)]


def _first_answer(answers: Any) -> str:
    if not isinstance(answers, list):
        raise RowError(f"expected a list of answers, found {describe(answers)}", "answers")
    for number, answer in enumerate(answers):
        if not (isinstance(answer, dict) and isinstance(answer.get("text"), str)):
            message = f"expected an answer with a 'text', found {describe(answer)}"
            raise RowError(message, f"answers[{number}]")
    return answers[0]["text"] if answers else ""


FORMAT = Format(
    "xquad",
    "a SQuAD document: data > paragraphs (context) > qas (id, question, answers)",
    matches,
    to_records,
    layout="document",
    items=items,
)
