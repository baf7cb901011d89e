"""FlanCoT as JSON rows: question, answer, rationale, or the names source and target."""

from typing import Any

from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_metadata,
)

_NAMES = (("question", "answer"), ("source", "target"))


def matches(row: Any) -> bool:
    """Return whether the row has a question, an answer and a rationale."""
    return (
        isinstance(row, dict)
        and "rationale" in row
        and any(question in row and answer in row for question, answer in _NAMES)
    )


def to_records(row: Any) -> list[Fields]:
    """Return the row's record; the rationale stays under its name in the metadata."""
    row = require_object(row, "'question', 'answer' and 'rationale'")
    question, answer = _NAMES[1] if "question" not in row and "source" in row else _NAMES[0]
    fields = {
        "instruction": required_text(row, question),
        "input": "",
        "output": text_column(row, answer),
    }
    text_column(row, "rationale")  # a rationale that is not text would be of no use later
    return [with_metadata(fields, row, (question, answer))]


FORMAT = Format(
    "flancot-json", "question, answer, rationale; or source, target, rationale", matches, to_records
)
