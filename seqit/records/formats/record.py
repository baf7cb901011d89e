"""Record: seqit's own rows, unchanged."""

from typing import Any

from seqit.records.formats.base import Fields, Format
from seqit.records.normalize import normalize


def matches(row: Any) -> bool:
    """Return whether the row has an instruction, and either id and lineage, or steps."""
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
    """Return the row, validated, with id and lineage filled in if they are missing."""
    return [{**normalize(row)}]


FORMAT = Format("record", "seqit's own rows: id, instruction, …, lineage", matches, to_records)
