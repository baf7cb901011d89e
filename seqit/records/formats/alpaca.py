"""Alpaca: instruction, input, output; with LLaMA-Factory's system, history and images.

Also for benchmarks that have only an instruction, or its answer by some model.
"""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_column,
    require_object,
    required_text,
    text_column,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import add_image_placeholders, remove_image_placeholders
from seqit.records.record import Record
from seqit.records.validation import describe

_TEXTS = ("instruction", "input", "output", "system")
_KNOWN = frozenset((*_TEXTS, "history", "images"))


def matches(row: Any) -> bool:
    """Return whether the row has an instruction."""
    return isinstance(row, dict) and isinstance(row.get("instruction"), str)


def to_records(row: Any) -> list[Fields]:
    """Return the row's record; absent and null columns count as empty."""
    row = require_object(row, "'instruction', 'input' and 'output'")
    instruction, input_text, output = (
        required_text(row, "instruction"),
        text_column(row, "input"),
        text_column(row, "output"),
    )
    fields: Fields = {"instruction": instruction, "input": input_text, "output": output}
    if len(row) == 3 and "input" in row and "output" in row:  # nearly every row of most files
        return [fields]
    if system := text_column(row, "system"):
        fields["system"] = system
    if history := _history(row.get("history")):
        fields["history"] = history
    if images := image_column(row):
        fields["images"] = images
        fields = remove_image_placeholders(fields)
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


def from_record(record: Record, columns: Collection[str] = ()) -> dict[str, Any]:
    """Return the row for axolotl and LLaMA-Factory, with <image> placeholders."""
    fields = add_image_placeholders(record)
    row = {key: fields[key] for key in (*_TEXTS, "history", "images") if key in fields}
    return with_columns(row, record, _KNOWN, columns)


FORMAT = Format(
    "alpaca",
    "instruction, input, output; optional: system, history, images",
    matches,
    to_records,
    from_record,
)
