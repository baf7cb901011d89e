"""The Format type, and helpers to read and write the columns of a format's rows."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from seqit.errors import RowError, UsageError
from seqit.records.record import Record
from seqit.records.validation import describe

Fields = dict[str, Any]
"""The parts of a record that a row of another format has, mostly without id, lineage, source."""

Layout = Literal["rows", "lines", "document"]
"""rows: one JSON object per row; lines: one text line per row; document: one JSON text per file."""


class FromRecord(Protocol):
    """Writes a record as a row of the format.

    `columns` names fields of the record (id, lineage, steps, …) that become columns too. Raises
    RowError if the format has no place for a part of the record.
    """

    def __call__(self, record: Record, columns: Collection[str] = ()) -> dict[str, Any]: ...


def _import_only(record: Record, columns: Collection[str] = ()) -> dict[str, Any]:
    raise UsageError("this format can be imported, not exported")


def _one_item(document: Any) -> Iterable[Any]:
    return (document,)


@dataclass(frozen=True)
class Format:
    """One dataset format, as pure functions over decoded rows.

    `matches` says whether a row (an object, a text line or a document, see Layout) looks like
    this format. `to_records` returns the fields of the row's records, mostly one; it raises
    RowError, with the field, if the row is not in the format. `items` splits a document into
    rows; it never raises: what it cannot split it yields unchanged, and `to_records` raises the
    error. `published` returns the instruction that the row's publisher parsed, to be compared
    with ours; None if the row has none.
    """

    name: str
    description: str
    matches: Callable[[Any], bool]
    to_records: Callable[[Any], list[Fields]]
    from_record: FromRecord = _import_only
    layout: Layout = "rows"
    items: Callable[[Any], Iterable[Any]] = _one_item
    published: Callable[[Any], str | None] | None = None


def require_object(row: Any, columns: str) -> dict[str, Any]:
    """Return the row if it is an object; the error names the columns it should have."""
    if not isinstance(row, dict):
        raise RowError(f"expected an object with {columns}, found {describe(row)}")
    return row


def text_column(row: dict[str, Any], key: str) -> str:
    """Return the text of a column; empty if the column is absent or null."""
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError(f"expected text, found {describe(value)}", key)
    return value


def required_text(row: dict[str, Any], key: str) -> str:
    """Return the text of a column that must be there and must not be blank."""
    if key not in row:
        columns = ", ".join(map(repr, row)) or "no columns"
        raise RowError(f"the column is missing; the row has {columns}", key)
    return require_not_blank(text_column(row, key), key)


def require_not_blank(value: str, field: str) -> str:
    """Return the text; raises RowError if it is empty or only white space."""
    if not value or value.isspace():
        raise RowError("must not be empty: there is nothing to ask the model", field)
    return value


def image_column(row: dict[str, Any]) -> list[str]:
    """Return the column `images`: paths, URLs or data URLs; empty if absent or null."""
    value = row.get("images")
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(f"expected a list of paths or URLs, found {describe(value)}", "images")
    for number, image in enumerate(value):
        if not (isinstance(image, str) and image):
            message = f"expected a path or URL, found {describe(image)}"
            raise RowError(message, f"images[{number}]")
    return value


def with_metadata(fields: Fields, row: dict[str, Any], known: Collection[str]) -> Fields:
    """Add the row's columns that are not in `known` as `metadata`, under their names."""
    metadata = {key: value for key, value in row.items() if key not in known}
    if metadata:
        fields["metadata"] = metadata
    return fields


def with_columns(
    row: dict[str, Any], record: Record, known: Collection[str], columns: Collection[str]
) -> dict[str, Any]:
    """Add the record's metadata, and the fields named by `columns`, as columns of the row.

    Raises RowError if two columns would have the same name, or one a name that the format reads.
    """
    fields: Mapping[str, object] = record
    metadata = record.get("metadata", {})
    row = dict(row)
    chosen = ((key, fields[key]) for key in columns if key in fields)
    for key, value in [*metadata.items(), *chosen]:
        if key in known or key in row:
            message = f"two columns would have the name {key!r}; rename the one in the metadata"
            raise RowError(message, f"metadata.{key}")
        row[key] = value
    return row
