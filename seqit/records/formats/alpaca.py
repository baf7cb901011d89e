"""Alpaca: instruction, input, output; with LLaMA-Factory's system, history and images.

Benchmarks that hold an instruction alone, or its answer by some model, are read here too.
"""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_list,
    required,
    table,
    text,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import with_image_marks, without_image_marks
from seqit.records.record import Record
from seqit.records.validation import describe

_TEXTS = ("instruction", "input", "output", "system")
_KNOWN = frozenset((*_TEXTS, "history", "images"))


def matches(row: Any) -> bool:
    """Whether the row has an instruction."""
    return isinstance(row, dict) and isinstance(row.get("instruction"), str)


def to_records(row: Any) -> list[Fields]:
    """Return the row's record; absent and null columns count as empty."""
    row = table(row, "'instruction', 'input' and 'output'")
    instruction, given, output = (
        required(row, "instruction"),
        text(row, "input"),
        text(row, "output"),
    )
    fields: Fields = {"instruction": instruction, "input": given, "output": output}
    if len(row) == 3 and "input" in row and "output" in row:  # nearly every row of most files
        return [fields]
    if system := text(row, "system"):
        fields["system"] = system
    if history := _history(row.get("history")):
        fields["history"] = history
    if images := image_list(row):
        fields["images"] = images
        fields = without_image_marks(fields)
    return [with_metadata(fields, row, _KNOWN)]


def _history(value: Any) -> list[list[str]]:
    if value is None:
        return []
    if not isinstance(value, list):
        message = f"expected a list of [question, answer] pairs, found {describe(value)}"
        raise RowError(message, "history")
    for number, pair in enumerate(value):
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(t) is str for t in pair)):
            message = f"expected a pair [question, answer] of texts, found {describe(pair)}"
            raise RowError(message, f"history[{number}]")
    return value


def from_record(record: Record, keep: Collection[str] = ()) -> dict[str, Any]:
    """Return the row as axolotl and LLaMA-Factory read it, <image> marks included."""
    fields = with_image_marks(record)
    own = {key: fields[key] for key in (*_TEXTS, "history", "images") if key in fields}
    return with_columns(own, record, _KNOWN, keep)


FORMAT = Format(
    "alpaca",
    "instruction, input, output; optional: system, history, images",
    matches,
    to_records,
    from_record,
)
