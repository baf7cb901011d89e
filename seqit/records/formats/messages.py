"""Messages: the chat format of OpenAI's API and trl, {"messages": [{"role", "content"}]}.

Exported contents are texts, and images are in a separate column, as trl expects them.
"""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_column,
    require_object,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import (
    Turn,
    TurnKeys,
    fields_from_turns,
    format_turns,
    parse_turns,
    turns_from_record,
)
from seqit.records.record import Record
from seqit.records.validation import describe

TURN_KEYS = TurnKeys(
    "role", "content", {"system": "system", "user": "user", "assistant": "assistant"}
)
_KNOWN = frozenset(("messages", "images"))


def matches(row: Any) -> bool:
    """Return whether the row has a list of messages."""
    return isinstance(row, dict) and isinstance(row.get("messages"), list)


def to_records(row: Any) -> list[Fields]:
    """Return the conversation as one record, earlier turns in `history`.

    The parts of a content are joined to one text, with its images before it, because a record
    cannot say where in a text an image is. Tool messages raise RowError.
    """
    row = require_object(row, "'messages'")
    if "messages" not in row:
        raise RowError("the column is missing", "messages")
    messages, urls = _without_parts(row["messages"])
    fields = fields_from_turns(parse_turns(messages, "messages", TURN_KEYS), "messages")
    if images := _images(image_column(row), urls):
        fields["images"] = images
    return [with_metadata(fields, row, _KNOWN)]


def _without_parts(messages: Any) -> tuple[Any, list[str]]:
    """Return the messages with texts as contents, and the images of the first user message.

    An image that is in the column `images` has an empty text here.
    """
    if not isinstance(messages, list):
        return messages, []
    plain, urls = [], []
    after_user = False
    for number, message in enumerate(messages):
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            field = f"messages[{number}].content"
            text, found = _join(message["content"], field)
            if found and (after_user or message.get("role") != "user"):
                raise RowError("images are supported only in the first user message", field)
            urls += found
            plain.append({**message, "content": text})
        else:
            plain.append(message)
        after_user = after_user or (isinstance(message, dict) and message.get("role") == "user")
    return plain, urls


def _join(parts: list[Any], field: str) -> tuple[str, list[str]]:
    texts: list[str] = []
    urls: list[str] = []
    has_text = image_after_text = False  # another text after such an image is an error
    for number, part in enumerate(parts):
        part_field = f"{field}[{number}]"
        kind, value = _part(part, part_field)
        if kind == "text":
            if image_after_text:
                message = "a record cannot say that an image is between two texts"
                raise RowError(f"{message}; put the images first", part_field)
            texts.append(value)
            has_text = True
        else:
            urls.append(value)
            image_after_text = has_text
    return "".join(texts), urls


def _part(part: Any, field: str) -> tuple[str, str]:
    """Return the kind of a content part, and its text or the image's URL."""
    rest: dict[Any, Any]
    match part:
        case {"type": "text", "text": str(value), **rest}:
            kind = "text"
        case {"type": "image_url", "image_url": {"url": str(value), **inner}, **rest} if value:
            kind, rest = "image", {**rest, **inner}
        case {"type": "image", **rest}:
            kind, value = "image", ""
        case _:
            message = "expected a text ('type': 'text') or an image ('type': 'image_url')"
            raise RowError(f"{message}, found {describe(part)}", field)
    for key, extra in rest.items():
        if extra is not None:
            message = f"a record has no place for {key!r} of a content part; drop it"
            raise RowError(message, f"{field}.{key}")
    return kind, value


def _images(column: list[str], urls: list[str]) -> list[str]:
    """Return the images, from the messages, or from the column if the messages only mark them."""
    if not any(urls):
        if urls and len(urls) != len(column):
            message = f"the messages have {len(urls)} image parts for {len(column)} images"
            raise RowError(message, "images")
        return column
    if column or not all(urls):
        raise RowError("images are both in the messages and in this column; use one", "images")
    return urls


def from_record(record: Record, columns: Collection[str] = ()) -> dict[str, Any]:
    """Return the row for trl; a record without an output ends with the user's turn."""
    turns = turns_from_record(record)
    if system := record.get("system"):
        turns.insert(0, Turn("system", system))
    row: dict[str, Any] = {"messages": format_turns(turns, TURN_KEYS)}
    if images := record.get("images"):
        row["images"] = images
    return with_columns(row, record, _KNOWN, columns)


FORMAT = Format(
    "messages",
    "messages: a list of {role, content}; roles: system, user, assistant; optional: images",
    matches,
    to_records,
    from_record,
)
