"""Score rows as judges write them, and a hostile model name that must not break a table."""

from typing import Any

from seqit.records.validation import schema

HOSTILE = 'it\'s "x" | \\& $<b>%; DROP VIEW scores --\n_end'


def score(**fields: Any) -> dict[str, Any]:
    row = {
        "id": "i1", "model": "it", "benchmark": "b", "sample": 0, "metric": "accuracy",
        "value": 1.0, "status": "scored", "judge": "program", "root": "r1",
    }  # fmt: skip
    row |= fields
    assert schema("score").is_valid(row), schema("score").problems(row)
    return row
