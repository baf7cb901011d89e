"""Results as bytes: a table for people, CSV, JSON Lines, Markdown, Parquet."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

import orjson

from seqit.errors import UsageError
from seqit.scores.db.result import Result

FORMATS = ("table", "csv", "jsonl", "markdown", "parquet")
SHOWN = 100
"""Rows that a table shows; the rest is counted."""

_NARROWEST = 6  # columns are not cut below this width, even where the table gets too wide
_MARKS = re.compile(r"[\\`*_\[\]<>|~&$]")


def render(result: Result, form: str, width: int = 80) -> Iterator[bytes]:
    r"""Yield the result in one of FORMATS; `width` is that of the terminal, for a table.

    Text that a model wrote cannot drive a terminal or a page: table and markdown show control
    and invisible characters as \x1b or \u202e, and markdown escapes its own marks. CSV and
    Parquet hold the text as it is (CSV after RFC 4180; formulas for spreadsheets are not
    defused), JSON Lines as JSON escapes it. Raises UsageError for an unknown format.
    """
    if form not in FORMATS:
        raise UsageError(f"{form!r} is no output format; take one of {', '.join(FORMATS)}")
    if form == "parquet":
        return result.parquet()
    if form == "jsonl":
        return _jsonl(result)
    if form == "csv":
        lines = _csv(result)
    else:
        lines = _markdown(result) if form == "markdown" else _table(result, width)
    return (f"{line}\n".encode() for line in lines)


def _jsonl(result: Result) -> Iterator[bytes]:
    for row in result.jsons():
        cells = (None if text is None else orjson.Fragment(text) for text in row)
        yield orjson.dumps(dict(zip(result.columns, cells, strict=True))) + b"\n"


def _csv(result: Result) -> Iterator[str]:
    yield _csv_line(result.columns)
    for row in result.texts():
        yield _csv_line(row)


def _csv_line(cells: Sequence[str | None]) -> str:
    line = ",".join(map(_csv_cell, cells))
    return line or '""'  # readers skip an empty line


def _csv_cell(text: str | None) -> str:
    if text is None:
        return ""
    if not text or text != text.strip() or any(mark in text for mark in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'  # an empty text is "", NULL is nothing
    return text


def _markdown(result: Result) -> Iterator[str]:
    yield markdown_line([markdown_cell(name) for name in result.columns])
    yield markdown_line(["--:" if number else "---" for number in result.are_numbers])
    for row in result.texts():
        yield markdown_line([markdown_cell(text) for text in row])


def markdown_line(cells: Sequence[str]) -> str:
    """Return a row of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def markdown_cell(text: str | None) -> str:
    """Return text as a cell that shows it to the letter."""
    if text is None:
        return "NULL"
    lines = text.replace("\r\n", "\n").split("\n")
    # What makes characters visible writes a backslash, which is escaped like any other mark.
    return "<br>".join(_MARKS.sub(r"\\\g<0>", visible(line)) for line in lines)


def _table(result: Result, width: int) -> Iterator[str]:
    rows = result.texts()
    shown = [[_cell(text, width) for text in row] for row in islice(rows, SHOWN)]
    more = sum(1 for _ in rows)
    head = [_cell(name, width) for name in result.columns]
    widths = _fit([max(map(_width, column)) for column in zip(head, *shown, strict=True)], width)
    yield _table_line(head, widths, result.are_numbers)
    yield "  ".join("─" * size for size in widths)
    for row in shown:
        yield _table_line(row, widths, result.are_numbers)
    count = len(shown) + more
    if more:
        yield f"({len(shown):,} of {count:,} rows; csv and jsonl hold all of them)"
    else:
        yield f"({count:,} row{'' if count == 1 else 's'})"


def _cell(text: str | None, width: int) -> str:
    # Twice the width: more of a long text is never shown, so it is not looked at either.
    return "NULL" if text is None else visible(text[: 2 * width])


def _fit(widths: Sequence[int], total: int) -> list[int]:
    """Cut the widest columns, and no others, until two spaces between them fit in as well."""
    room = total - 2 * (len(widths) - 1)
    cap = total
    while cap > _NARROWEST and sum(min(size, cap) for size in widths) > room:
        cap -= 1
    return [min(size, cap) for size in widths]


def _table_line(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    parts = []
    for cell, size, right in zip(cells, widths, to_right, strict=True):
        text = _cut(cell, size)
        space = " " * (size - _width(text))
        parts.append(space + text if right else text + space)
    return "  ".join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    """Return the columns that a terminal gives the text: two to wide East Asian characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def visible(text: str) -> str:
    r"""Return the text with what a terminal would obey or hide written out, as in \x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
