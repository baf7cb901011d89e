"""MGSM, grade-school mathematics in eleven languages: question and number on a TSV line."""

from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import Fields, Format, require_not_blank
from seqit.records.validation import describe


def matches(row: Any) -> bool:
    """Return whether the row is a line of two tab-separated texts, the second a number."""
    if not isinstance(row, str) or row.count("\t") != 1:
        return False
    number = row.partition("\t")[2].strip()
    return number.removeprefix("-").replace(",", "").replace(".", "").isdecimal()


def to_records(row: Any) -> list[Fields]:
    """Return the line's record; the number stays text, with its separators."""
    texts = row.split("\t") if isinstance(row, str) else []
    if len(texts) != 2:
        found = f"{len(texts)} texts" if texts else describe(row)
        raise RowError(f"expected a line with a question, a tab and a number, found {found}")
    question, answer = texts
    return [{"instruction": require_not_blank(question, "question"), "input": "", "output": answer}]


FORMAT = Format(
    "mgsm", "TSV lines: question, answer (a number)", matches, to_records, layout="lines"
)
