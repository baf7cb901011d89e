"""FlanCoT, the chain-of-thought data of FLAN v2: question, answer and rationale on a TSV line."""

from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import Fields, Format, require_not_blank
from seqit.records.validation import describe


def matches(row: Any) -> bool:
    """Return whether the row is a line of three tab-separated texts."""
    return isinstance(row, str) and row.count("\t") == 2


def to_records(row: Any) -> list[Fields]:
    r"""Return the line's record; a literal ``\n`` in the file is a line break."""
    if not isinstance(row, str):
        message = f"expected a line of three tab-separated texts, found {describe(row)}"
        raise RowError(f"{message}; read JSON rows with --format flancot-json")
    texts = row.replace("\\n", "\n").split("\t")
    if len(texts) != 3:
        message = "expected question, answer and rationale with a tab between them"
        hint = "; read JSON rows with --format flancot-json" if row.startswith("{") else ""
        raise RowError(f"{message}, found {len(texts)} of 3 texts{hint}")
    question, answer, rationale = texts
    fields: Fields = {
        "instruction": require_not_blank(question, "question"),
        "input": "",
        "output": answer,
    }
    if rationale:
        fields["metadata"] = {"rationale": rationale}
    return [fields]


FORMAT = Format(
    "flancot",
    "TSV lines: question, answer, rationale; \\n stands for a line break",
    matches,
    to_records,
    layout="lines",
)
