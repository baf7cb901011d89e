"""Recorded completions of the reference implementation of Seq-Instruct (arXiv 2403.07794).

A row has the completion that rewrites an instruction (`full_response`), and may have its input
(`ori_instruction`, `seq_mode`) and what its publisher parsed from it (`seq_instruction`).
"""

from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_metadata,
)
from seqit.records.identity import content_id
from seqit.records.paper.instruction import parse_instruction
from seqit.records.reading_comparison import reading_difference
from seqit.records.record import Lineage, Operation
from seqit.records.validation import describe

_OPERATIONS: dict[str, Operation] = {
    "prefix": "prefix",
    "suffix": "suffix",
    "interpolate": "decompose",
    "decompose": "decompose",
}


def matches(row: Any) -> bool:
    """Return whether the row has a completion."""
    return isinstance(row, dict) and isinstance(row.get("full_response"), str)


def to_records(row: Any) -> list[Fields]:
    """Return the chain in the completion, without an answer.

    Its lineage has the operation and the seed; a row without a mode is a seed. All columns but
    the mode are kept in metadata; the published instruction too, unless it equals the one parsed
    here, and `difference` has the kind of the difference (see `reading_difference`).
    """
    row = require_object(row, "'full_response'")
    completion, original = required_text(row, "full_response"), text_column(row, "ori_instruction")
    try:
        instruction = parse_instruction(completion, finished=row.get("finish_reason") == "stop")
    except RowError as error:
        raise RowError(str(error), "full_response") from None
    if instruction.split() == original.split():
        raise RowError("the new instruction is the original one, and no chain", "full_response")
    fields: Fields = {"instruction": instruction, "input": "", "output": ""}
    if lineage := _lineage(row, fields, original):
        fields["lineage"] = lineage
    known = {"seq_mode"}
    published = published_instruction(row)
    if published is not None and (difference := reading_difference(instruction, published)):
        if "difference" in row:
            raise RowError("the record has a note of this name to make; rename it", "difference")
        row = {**row, "difference": difference.kind}
    else:
        known.add("seq_instruction")
    return [with_metadata(fields, row, known)]


def published_instruction(row: Any) -> str | None:
    """Return what the publisher parsed from the completion; None if the row does not have it."""
    published = row.get("seq_instruction") if isinstance(row, dict) else None
    return published if isinstance(published, str) else None


def _lineage(row: dict[str, Any], fields: Fields, original: str) -> Lineage | None:
    mode = row.get("seq_mode")
    if mode is None:
        return None
    if not isinstance(mode, str) or mode not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise RowError(f"expected one of {known}; found {describe(mode)}", "seq_mode")
    chain_id = content_id(fields)
    seed = content_id({**fields, "instruction": original}) if original.strip() else ""
    operation = _OPERATIONS[mode]
    lineage: Lineage = {"root": seed or chain_id, "iteration": 1, "operation": operation}
    if seed:
        lineage = {"root": seed, "parent": seed, **lineage}
    return {**lineage, "method": "seq-instruct"}


FORMAT = Format(
    "seq-instruct",
    "full_response: recorded completions of the paper's own program; optional: ori_instruction, "
    "seq_mode, seq_instruction",
    matches,
    to_records,
    published=published_instruction,
)
