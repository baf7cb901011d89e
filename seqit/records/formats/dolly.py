"""Dolly (databricks-dolly-15k): instruction, context, response, category."""

from typing import Any

from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_metadata,
)

_KNOWN = frozenset(("instruction", "context", "response"))


def matches(row: Any) -> bool:
    """Return whether the row has an instruction with a context and a response."""
    return isinstance(row, dict) and row.keys() >= _KNOWN


def to_records(row: Any) -> list[Fields]:
    """Return the row's record: the context is its input, the response its output."""
    row = require_object(row, "'instruction', 'context' and 'response'")
    fields = {
        "instruction": required_text(row, "instruction"),
        "input": text_column(row, "context"),
        "output": text_column(row, "response"),
    }
    return [with_metadata(fields, row, _KNOWN)]


FORMAT = Format("dolly", "instruction, context, response, category", matches, to_records)
