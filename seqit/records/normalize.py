"""Normalize raw rows to records: missing parts are filled in, unknown columns are kept."""

from typing import Any, cast

import orjson

from seqit.errors import RowError
from seqit.records.decode import MAX_DEPTH
from seqit.records.identity import content_id
from seqit.records.record import RECORD_KEYS, Record
from seqit.records.validation import describe, schema

_FORMAT_BY_COLUMN = {
    "messages": "messages",
    "conversations": "sharegpt",
    "prompt": "prompt-completion",
}


def normalize(row: Any, name: str = "") -> Record:
    """Return the row as a Record: keys in order, `id` and `lineage` filled in.

    Unknown columns move into `metadata`; null counts as absent. Raises RowError, with the field,
    if the result does not match schemas/record.schema.json.
    """
    if not isinstance(row, dict):
        raise RowError(f"expected an object with an 'instruction', found {describe(row)}")
    known = {key: row[key] for key in RECORD_KEYS if row.get(key) not in (None, [], {})}
    if not known.get("system"):
        known.pop("system", None)
    known.setdefault("input", "")
    known.setdefault("output", "")
    extra = {key: value for key, value in row.items() if key not in RECORD_KEYS}
    if extra:
        known["metadata"] = _merge(known.get("metadata", {}), extra)
    if "id" not in known:
        known["id"] = content_id(known) if _has_text(known) else "?"
    known.setdefault("lineage", {"root": known["id"], "iteration": 0, "operation": "seed"})
    if name:
        known.setdefault("source", {"format": "record", "name": name})
    record = {key: known[key] for key in RECORD_KEYS if key in known}
    record_schema = schema("record")
    if not record_schema.is_valid(record):
        problem = record_schema.problems(record)[0]
        raise RowError(problem.message + _format_hint(row), problem.field)
    if extra:
        _check_depth(extra)  # these columns are now one level deeper
    return cast(Record, record)


def _check_depth(columns: dict[str, Any]) -> None:
    try:
        orjson.dumps({"row": {"metadata": columns}})  # as deep as in a reject
    except TypeError:
        raise RowError(f"nested deeper than {MAX_DEPTH - 2} levels; flatten it") from None


def _merge(metadata: Any, extra: dict[str, Any]) -> Any:
    if not isinstance(metadata, dict):
        return metadata  # the schema check reports what is wrong with it
    for key in extra:
        if key in metadata:
            raise RowError("the row has this column at the top and in metadata; rename one", key)
    return metadata | extra


def _has_text(row: dict[str, Any]) -> bool:
    return all(isinstance(row.get(key), str) for key in ("instruction", "input", "output"))


def _format_hint(row: dict[str, Any]) -> str:
    """Return a hint to the format that a row without an instruction seems to have."""
    if row.get("instruction"):
        return ""
    for key, name in _FORMAT_BY_COLUMN.items():
        if key in row:
            return f"; the row has {key!r}: read it with seqit import --format {name}"
    return "; seqit import reads other formats" if "instruction" not in row else ""
