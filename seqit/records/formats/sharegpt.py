"""ShareGPT: {"conversations": [{"from", "value"}]}; LIMA's lists of texts are read as well."""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_list,
    table,
    text,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import (
    Spelling,
    Turn,
    fields_of,
    read_turns,
    turns_of,
    with_image_marks,
    without_image_marks,
    write_turns,
)
from seqit.records.formats.messages import SPELLING as MESSAGES
from seqit.records.record import Record

SPELLING = Spelling(
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
    """Whether the row has a list of turns named conversations."""
    return isinstance(row, dict) and isinstance(row.get("conversations"), list)


def to_records(row: Any) -> list[Fields]:
    """Return the conversation as one record, earlier turns in `history`.

    Turns may be {from, value}, {role, content} or, as in LIMA, texts of the user and the
    assistant by turns. The system message may be a column or the first turn.
    """
    row = table(row, "'conversations'")
    if "conversations" not in row:
        raise RowError("the column is missing", "conversations")
    fields = fields_of(_turns(row["conversations"]), "conversations", text(row, "system"))
    if images := image_list(row):
        fields["images"] = images
        fields = without_image_marks(fields)
    return [with_metadata(fields, row, _KNOWN)]


def _turns(items: Any) -> list[Turn]:
    first = items[0] if isinstance(items, list) and items else None
    if isinstance(first, str) and all(type(item) is str for item in items):
        return [Turn("assistant" if n % 2 else "user", item) for n, item in enumerate(items)]
    foreign = isinstance(first, dict) and "from" not in first and "role" in first
    return read_turns(items, "conversations", MESSAGES if foreign else SPELLING)


def from_record(record: Record, keep: Collection[str] = ()) -> dict[str, Any]:
    """Return the row as axolotl and LLaMA-Factory read it: {from, value}, system a column."""
    marked: Any = with_image_marks(record)
    own: dict[str, Any] = {"conversations": write_turns(turns_of(marked), SPELLING)}
    own |= {key: marked[key] for key in ("system", "images") if key in marked}
    return with_columns(own, record, _KNOWN, keep)


FORMAT = Format(
    "sharegpt",
    "conversations: a list of {from, value} or of texts (LIMA); optional: system, images",
    matches,
    to_records,
    from_record,
)
