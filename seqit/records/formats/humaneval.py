"""HumanEval: a function's signature and docstring, the solution and the tests."""

from typing import Any

from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_metadata,
)

INSTRUCTION = "Complete the following Python function."
_KNOWN = frozenset(("prompt", "canonical_solution"))


def matches(row: Any) -> bool:
    """Return whether the row has a prompt, a test and the name of the function."""
    return isinstance(row, dict) and {"prompt", "test", "entry_point"} <= row.keys()


def to_records(row: Any) -> list[Fields]:
    """Return the row's record: the prompt, verbatim, is its input; test and name are metadata."""
    row = require_object(row, "'task_id', 'prompt', 'canonical_solution', 'test' and 'entry_point'")
    fields = {
        "instruction": INSTRUCTION,
        "input": required_text(row, "prompt"),
        "output": text_column(row, "canonical_solution"),
    }
    return [with_metadata(fields, row, _KNOWN)]


FORMAT = Format(
    "humaneval",
    "task_id, prompt, canonical_solution, entry_point, test",
    matches,
    to_records,
)
