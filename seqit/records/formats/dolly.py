"""Dolly (databricks-dolly-15k): instruction, context, response, category."""

from typing import Any

from seqit.records.formats.base import Fields, Format, required, table, text, with_metadata

_KNOWN = frozenset(("instruction", "context", "response"))


def matches(row: Any) -> bool:
    """Whether the row has an instruction with a context and a response."""
    return isinstance(row, dict) and row.keys() >= _KNOWN


def to_records(row: Any) -> list[Fields]:
    """Return the row's record: the context is its input, the response its output."""
    row = table(row, "'instruction', 'context' and 'response'")
    fields = {
        "instruction": required(row, "instruction"),
        "input": text(row, "context"),
        "output": text(row, "response"),
    }
    return [with_metadata(fields, row, _KNOWN)]


FORMAT = Format("dolly", "instruction, context, response, category", matches, to_records)
