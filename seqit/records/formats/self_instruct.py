"""Self-Instruct's seed tasks: an instruction with several instances of input and output."""

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
from seqit.records.validation import describe

_KNOWN = frozenset(("instruction", "instances"))
_INSTANCE = frozenset(("input", "output"))


def matches(row: Any) -> bool:
    """Return whether the row has an instruction and a list of instances."""
    return isinstance(row, dict) and "instruction" in row and isinstance(row.get("instances"), list)


def to_records(row: Any) -> list[Fields]:
    """Return a record for each instance; they share the task's columns as metadata."""
    row = require_object(row, "'instruction' and 'instances'")
    instruction = required_text(row, "instruction")
    instances = row.get("instances")
    if not isinstance(instances, list):
        message = f"expected a list of {{input, output}}, found {describe(instances)}"
        raise RowError(message, "instances")
    if not instances:
        raise RowError("must not be empty: there is nothing to learn from", "instances")
    return [_fields(row, instruction, instance, n) for n, instance in enumerate(instances)]


def _fields(row: dict[str, Any], instruction: str, instance: Any, number: int) -> Fields:
    field = f"instances[{number}]"
    try:
        instance = require_object(instance, "'input' and 'output'")
        fields = {
            "instruction": instruction,
            "input": text_column(instance, "input"),
            "output": text_column(instance, "output"),
        }
    except RowError as error:
        raise RowError(str(error), f"{field}.{error.field}" if error.field else field) from None
    extra = {key: value for key, value in instance.items() if key not in _INSTANCE}
    for key in extra:
        if key in row:
            raise RowError("the task has a column of this name too; rename one", f"{field}.{key}")
    return with_metadata(fields, row | extra, _KNOWN)


FORMAT = Format(
    "self-instruct",
    "instruction, instances: a list of {input, output}, each of which becomes a record",
    matches,
    to_records,
)
