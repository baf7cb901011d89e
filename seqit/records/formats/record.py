"""Record: seqit's own rows, which pass as they are."""

from typing import Any

from seqit.records.formats.base import Fields, Format
from seqit.records.normalize import normalize


def matches(row: Any) -> bool:
    """Whether the row has what only a record has: id and lineage, or steps, and an instruction."""
    if not isinstance(row, dict) or "instruction" not in row:
        return False
    return {"id", "lineage"} <= row.keys() or _are_steps(row.get("steps"))


def _are_steps(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(step, dict) and "instruction" in step for step in value)
    )


def to_records(row: Any) -> list[Fields]:
    """Return the row, checked, with id and lineage filled in where they are missing."""
    return [{**normalize(row)}]


FORMAT = Format("record", "seqit's own rows: id, instruction, …, lineage", matches, to_records)
