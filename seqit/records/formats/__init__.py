"""The dataset formats that seqit reads and writes: one module each, imported when needed.

A new format is a module with a Format as FORMAT, and an entry in FORMATS. What formats share
goes into `base` and `chat`.
"""

from importlib import import_module
from typing import Any, cast

from seqit.errors import SeqitError, UsageError
from seqit.records.formats.base import Fields, Format
from seqit.records.identity import content_id
from seqit.records.record import Record
from seqit.records.validation import describe, did_you_mean, shorten

__all__ = ["EXPORTS", "FORMATS", "Fields", "Format", "complete", "guess", "load"]

FORMATS = {
    "record": "seqit.records.formats.record",
    "alpaca": "seqit.records.formats.alpaca",
    "messages": "seqit.records.formats.messages",
    "sharegpt": "seqit.records.formats.sharegpt",
    "prompt-completion": "seqit.records.formats.prompt_completion",
    "self-instruct": "seqit.records.formats.self_instruct",
    "seq-instruct": "seqit.records.formats.seq_instruct",
    "dolly": "seqit.records.formats.dolly",
    "flancot": "seqit.records.formats.flancot",
    "flancot-json": "seqit.records.formats.flancot_json",
    "xquad": "seqit.records.formats.xquad",
    "mgsm": "seqit.records.formats.mgsm",
    "gsm8k": "seqit.records.formats.gsm8k",
    "humaneval": "seqit.records.formats.humaneval",
    "vqa": "seqit.records.formats.vqa",
    "multiple-choice": "seqit.records.formats.multiple_choice",
}
"""Name → module, which has its Format as FORMAT."""

EXPORTS = ("alpaca", "messages", "prompt-completion", "sharegpt")
"""The formats that can also be written."""

# If a row matches several formats, the first group with a match decides: groups are ordered from
# specific to general. A dolly row, for example, is an alpaca row with more columns. Two matches in
# one group are ambiguous.
_RANKS = (
    ("record",),
    ("seq-instruct",),
    (
        *("messages", "sharegpt", "self-instruct", "dolly", "xquad", "gsm8k", "humaneval", "vqa"),
        "multiple-choice",
    ),
    ("flancot", "mgsm", "flancot-json", "alpaca", "prompt-completion"),
)


def load_format(name: str) -> Format:
    """Return the format; raises UsageError for a name that is not in FORMATS."""
    if name not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        hint = did_you_mean(name, FORMATS)
        raise UsageError(f"there is no format {name!r}{hint}; the formats are {known}")
    return cast(Format, import_module(FORMATS[name]).FORMAT)


def guess_format(row: object, source_name: str) -> str:
    """Return the name of the format that a source's first row is in.

    The row is an object, a text line, or a whole document, depending on the source. Raises
    SeqitError if no format fits, or more than one.
    """
    for names in _RANKS:
        found = [name for name in names if load_format(name).matches(row)]
        if len(found) == 1:
            return found[0]
        if found:
            fits = f"the first row fits {' and '.join(found)}; choose with --format"
            raise SeqitError(f"{source_name}: {fits}")
    raise SeqitError(
        f"{source_name}: cannot guess the format: the first row is {_describe_row(row)}; "
        f"name it with --format, one of {', '.join(sorted(FORMATS))}"
    )


def _describe_row(row: object) -> str:
    if isinstance(row, dict) and row:
        return "an object with " + shorten(", ".join(map(repr, row)), 200)
    if isinstance(row, str):
        tabs = row.count("\t")
        texts = f"of {tabs + 1} tab-separated texts" if tabs else "without a tab"
        return f"the line {shorten(row)!r}, {texts}"
    return describe(row)


def complete_record(fields: Fields, format_name: str, source_name: str) -> Record:
    """Return the fields, which are in the order of RECORD_KEYS, with id, lineage and source.

    `source_name` becomes the name in `source`: a dataset's name, or empty for none. Id, lineage
    and source that `fields` already has are kept.
    """
    record_id = fields.get("id") or content_id(fields)
    source = (
        {"format": format_name, "name": source_name} if source_name else {"format": format_name}
    )
    record: dict[str, Any] = {"id": record_id, **fields}
    metadata = record.pop("metadata", None)  # goes last
    if "lineage" not in record:
        record["lineage"] = {"root": record_id, "iteration": 0, "operation": "seed"}
    if "source" not in record:
        record["source"] = source
    if metadata:
        record["metadata"] = metadata
    return cast(Record, record)
