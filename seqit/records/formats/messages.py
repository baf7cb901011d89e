"""Messages: chat as OpenAI's API and trl have it, {"messages": [{"role", "content"}]}.

Exported contents are texts and images stand in a column of their own, as trl reads them.
"""

from collections.abc import Collection
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    image_list,
    table,
    with_columns,
    with_metadata,
)
from seqit.records.formats.chat import (
    Spelling,
    Turn,
    fields_of,
    read_turns,
    turns_of,
    write_turns,
)
from seqit.records.record import Record
from seqit.records.validation import describe

SPELLING = Spelling(
    "role", "content", {"system": "system", "user": "user", "assistant": "assistant"}
)
_KNOWN = frozenset(("messages", "images"))


def matches(row: Any) -> bool:
    """Whether the row has a list of messages."""
    return isinstance(row, dict) and isinstance(row.get("messages"), list)


def to_records(row: Any) -> list[Fields]:
    """Return the conversation as one record, earlier turns in `history`.

    The parts of a content are joined to one text and its images put before it, as no record
    says where in a text an image stands. Tool messages raise RowError.
    """
    row = table(row, "'messages'")
    if "messages" not in row:
        raise RowError("the column is missing", "messages")
    messages, urls = _without_parts(row["messages"])
    fields = fields_of(read_turns(messages, "messages", SPELLING), "messages")
    if images := _images(image_list(row), urls):
        fields["images"] = images
    return [with_metadata(fields, row, _KNOWN)]


def _without_parts(messages: Any) -> tuple[Any, list[str]]:
    """Return the messages with texts as contents, and the images of the first user's message.

    An image that stands in the column `images` is an empty text here.
    """
    if not isinstance(messages, list):
        return messages, []
    plain, urls = [], []
    asked = False
    for number, message in enumerate(messages):
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            field = f"messages[{number}].content"
            text, found = _join(message["content"], field)
            if found and (asked or message.get("role") != "user"):
                raise RowError("images are understood in the first user message alone", field)
            urls += found
            plain.append({**message, "content": text})
        else:
            plain.append(message)
        asked = asked or (isinstance(message, dict) and message.get("role") == "user")
    return plain, urls


def _join(parts: list[Any], field: str) -> tuple[str, list[str]]:
    texts: list[str] = []
    urls: list[str] = []
    begun = ended = False  # an image after a text; a further text would enclose it
    for number, part in enumerate(parts):
        place = f"{field}[{number}]"
        kind, value = _part(part, place)
        if kind == "text":
            if ended:
                message = "a record cannot say that an image stands between two texts"
                raise RowError(f"{message}; put the images first", place)
            texts.append(value)
            begun = True
        else:
            urls.append(value)
            ended = begun
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
    """Return the images, which stand in the messages, or in the column and are marked there."""
    if not any(urls):
        if urls and len(urls) != len(column):
            message = f"the messages have {len(urls)} image parts for {len(column)} images"
            raise RowError(message, "images")
        return column
    if column or not all(urls):
        raise RowError("images stand both in the messages and in this column; use one", "images")
    return urls


def from_record(record: Record, keep: Collection[str] = ()) -> dict[str, Any]:
    """Return the row as trl reads it; a record without an output ends with the user's turn."""
    turns = turns_of(record)
    if system := record.get("system"):
        turns.insert(0, Turn("system", system))
    own: dict[str, Any] = {"messages": write_turns(turns, SPELLING)}
    if images := record.get("images"):
        own["images"] = images
    return with_columns(own, record, _KNOWN, keep)


FORMAT = Format(
    "messages",
    "messages: a list of {role, content}; roles: system, user, assistant; optional: images",
    matches,
    to_records,
    from_record,
)
