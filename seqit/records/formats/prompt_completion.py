"""Prompt and completion: two texts, as trl and base models have them."""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    required,
    table,
    text,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import fields_of, question_of, read_turns
from seqit.records.formats.messages import SPELLING
from seqit.records.record import Record

_KNOWN = frozenset(("prompt", "completion"))


def matches(row: Any) -> bool:
    """Whether the row has a prompt and a completion."""
    return isinstance(row, dict) and "prompt" in row and "completion" in row


def to_records(row: Any) -> list[Fields]:
    """Return the prompt as instruction; both columns may also be lists of messages (trl)."""
    row = table(row, "'prompt' and 'completion'")
    if isinstance(row.get("prompt"), list):
        turns = read_turns(row["prompt"], "prompt", SPELLING)
        turns += read_turns(row.get("completion"), "completion", SPELLING)
        fields = fields_of(turns, "prompt")
    else:
        output = text(row, "completion")
        fields = {"instruction": required(row, "prompt"), "input": "", "output": output}
    return [with_metadata(fields, row, _KNOWN)]


def from_record(record: Record, keep: Collection[str] = ()) -> dict[str, Any]:
    """Return two texts; raises RowError for what they have no place for."""
    for key in ("system", "history", "images"):
        if key in record:
            message = f"prompt and completion are texts, without a place for {key}"
            raise RowError(f"{message}; export to messages instead", key)
    own = {"prompt": question_of(record), "completion": record["output"]}
    return with_columns(own, record, _KNOWN, keep)


FORMAT = Format("prompt-completion", "prompt, completion: texts", matches, to_records, from_record)
