"""ShareGPT: {"conversations": [{"from", "value"}]}; LIMA's lists of texts are read as well."""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_column,
    require_object,
    text_column,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import (
    Turn,
    TurnKeys,
    add_image_placeholders,
    fields_from_turns,
    format_turns,
    parse_turns,
    remove_image_placeholders,
    turns_from_record,
)
from seqit.records.formats.messages import TURN_KEYS as MESSAGE_KEYS
from seqit.records.record import Record

TURN_KEYS = TurnKeys(
    "from",
    "value",
    {
        "human": "user",
        "gpt": "assistant",
        "system": "system",
        "user": "user",
        "assistant": "assistant",
    },
)
_KNOWN = frozenset(("conversations", "system", "images"))


def matches(row: Any) -> bool:
    """Return whether the row has a list of turns named conversations."""
    return isinstance(row, dict) and isinstance(row.get("conversations"), list)


def to_records(row: Any) -> list[Fields]:
    """Return the conversation as one record, earlier turns in `history`.

    Turns may be {from, value}, {role, content} or, as in LIMA, alternating texts of the user and
    the assistant. The system message may be a column or the first turn.
    """
    row = require_object(row, "'conversations'")
    if "conversations" not in row:
        raise RowError("the column is missing", "conversations")
    fields = fields_from_turns(
        _turns(row["conversations"]), "conversations", text_column(row, "system")
    )
    if images := image_column(row):
        fields["images"] = images
        fields = remove_image_placeholders(fields)
    return [with_metadata(fields, row, _KNOWN)]


def _turns(items: Any) -> list[Turn]:
    first = items[0] if isinstance(items, list) and items else None
    if isinstance(first, str) and all(type(item) is str for item in items):
        return [Turn("assistant" if n % 2 else "user", item) for n, item in enumerate(items)]
    has_roles = isinstance(first, dict) and "from" not in first and "role" in first
    return parse_turns(items, "conversations", MESSAGE_KEYS if has_roles else TURN_KEYS)


def from_record(record: Record, columns: Collection[str] = ()) -> dict[str, Any]:
    """Return the row for axolotl and LLaMA-Factory: {from, value}, system as a column."""
    fields: Any = add_image_placeholders(record)
    row: dict[str, Any] = {"conversations": format_turns(turns_from_record(fields), TURN_KEYS)}
    row |= {key: fields[key] for key in ("system", "images") if key in fields}
    return with_columns(row, record, _KNOWN, columns)


FORMAT = Format(
    "sharegpt",
    "conversations: a list of {from, value} or of texts (LIMA); optional: system, images",
    matches,
    to_records,
    from_record,
)
