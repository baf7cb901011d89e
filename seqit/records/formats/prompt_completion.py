"""Prompt and completion: two texts, for trl and base models."""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import fields_from_turns, parse_turns, prompt_text
from seqit.records.formats.messages import TURN_KEYS
from seqit.records.record import Record

_KNOWN = frozenset(("prompt", "completion"))


def matches(row: Any) -> bool:
    """Return whether the row has a prompt and a completion."""
    return isinstance(row, dict) and "prompt" in row and "completion" in row


def to_records(row: Any) -> list[Fields]:
    """Return the prompt as instruction; both columns may also be lists of messages (trl)."""
    row = require_object(row, "'prompt' and 'completion'")
    if isinstance(row.get("prompt"), list):
        turns = parse_turns(row["prompt"], "prompt", TURN_KEYS)
        turns += parse_turns(row.get("completion"), "completion", TURN_KEYS)
        fields = fields_from_turns(turns, "prompt")
    else:
        output = text_column(row, "completion")
        fields = {"instruction": required_text(row, "prompt"), "input": "", "output": output}
    return [with_metadata(fields, row, _KNOWN)]


def from_record(record: Record, columns: Collection[str] = ()) -> dict[str, Any]:
    """Return two texts; raises RowError for parts of the record that they have no place for."""
    for key in ("system", "history", "images"):
        if key in record:
            message = f"prompt and completion are texts, without a place for {key}"
            raise RowError(f"{message}; export to messages instead", key)
    row = {"prompt": prompt_text(record), "completion": record["output"]}
    return with_columns(row, record, _KNOWN, columns)


FORMAT = Format("prompt-completion", "prompt, completion: texts", matches, to_records, from_record)
