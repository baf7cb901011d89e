"""GSM8K, grade-school mathematics: question, and an answer that ends in ``#### NUMBER``."""

import re
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import Fields, Format, require_object, required_text, with_metadata

_CALCULATOR = re.compile(r"<<[^<>]*>>")  # as in 16-3=<<16-3=13>>13
_KNOWN = frozenset(("question",))


def matches(row: Any) -> bool:
    """Return whether the row has a question and an answer with the marker ####."""
    if not isinstance(row, dict) or "question" not in row:
        return False
    answer = row.get("answer")
    return isinstance(answer, str) and "####" in answer


def to_records(row: Any) -> list[Fields]:
    """Return the row's record: its output is the final number.

    `metadata.rationale` is the solution without calculator annotations, `metadata.answer` the
    published text.
    """
    row = require_object(row, "'question' and 'answer'")
    fields: Fields = {"instruction": required_text(row, "question"), "input": ""}
    solution, marker, number = required_text(row, "answer").rpartition("####")
    if not marker or not number.strip():
        raise RowError("expected a solution that ends in '#### NUMBER'", "answer")
    if "rationale" in row:
        raise RowError("the column would hide the solution's text; rename it", "rationale")
    fields["output"] = number.strip()
    with_metadata(fields, row, _KNOWN)
    fields["metadata"]["rationale"] = _CALCULATOR.sub("", solution).rstrip()
    return [fields]


FORMAT = Format("gsm8k", "question, answer: a solution and '#### NUMBER'", matches, to_records)
