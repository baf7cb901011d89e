"""Query results as bytes: a text table, CSV, JSON Lines, Markdown or Parquet."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

import orjson

from seqit.errors import UsageError
from seqit.scores.db.result import QueryResult

FORMATS = ("table", "csv", "jsonl", "markdown", "parquet")
MAX_ROWS = 100
"""Rows that a table shows; the rest is counted."""

_MIN_WIDTH = 6  # columns are not cut below this width, even if the table gets too wide
_MARKDOWN_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$]")


def render(result: QueryResult, output_format: str, width: int = 80) -> Iterator[bytes]:
    r"""Yield the result in one of FORMATS; `width` is the terminal's, for a table.

    Text that a model wrote cannot control a terminal or a page: table and markdown show control
    and invisible characters as \x1b or \u202e, and markdown escapes its own marks. CSV and
    Parquet contain the text unchanged (CSV after RFC 4180; spreadsheet formulas are not
    escaped), JSON Lines as JSON escapes it. Raises UsageError for an unknown format.
    """
    if output_format not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f"{output_format!r} is not an output format; choose one of {known}")
    if output_format == "parquet":
        return result.parquet()
    if output_format == "jsonl":
        return _jsonl(result)
    if output_format == "csv":
        lines = _csv(result)
    else:
        lines = _markdown(result) if output_format == "markdown" else _table(result, width)
    return (f"{line}\n".encode() for line in lines)


def _jsonl(result: QueryResult) -> Iterator[bytes]:
    for row in result.json_rows():
        values = (None if text is None else orjson.Fragment(text) for text in row)
        yield orjson.dumps(dict(zip(result.columns, values, strict=True))) + b"\n"


def _csv(result: QueryResult) -> Iterator[str]:
    yield _csv_line(result.columns)
    for row in result.text_rows():
        yield _csv_line(row)


def _csv_line(cells: Sequence[str | None]) -> str:
    line = ",".join(map(_csv_cell, cells))
    return line or '""'  # readers skip an empty line


def _csv_cell(text: str | None) -> str:
    if text is None:
        return ""
    if not text or text != text.strip() or any(char in text for char in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'  # an empty text is "", NULL is nothing
    return text


def _markdown(result: QueryResult) -> Iterator[str]:
    yield markdown_line([markdown_cell(name) for name in result.columns])
    yield markdown_line(["--:" if is_number else "---" for is_number in result.are_numbers])
    for row in result.text_rows():
        yield markdown_line([markdown_cell(text) for text in row])


def markdown_line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table; the cells are already Markdown."""
    return f"| {' | '.join(cells)} |"


def markdown_cell(text: str | None) -> str:
    """Return the text as a table cell that shows it literally."""
    if text is None:
        return "NULL"
    lines = text.replace("\r\n", "\n").split("\n")
    # The backslash of an escaped unprintable character is itself escaped for Markdown.
    return "<br>".join(
        _MARKDOWN_SPECIAL.sub(r"\\\g<0>", escape_unprintable(line)) for line in lines
    )


def _table(result: QueryResult, width: int) -> Iterator[str]:
    rows = result.text_rows()
    shown = [[_cell_text(text, width) for text in row] for row in islice(rows, MAX_ROWS)]
    more = sum(1 for _ in rows)
    header = [_cell_text(name, width) for name in result.columns]
    columns = zip(header, *shown, strict=True)
    widths = _fit_widths([max(map(_display_width, column)) for column in columns], width)
    yield _table_line(header, widths, result.are_numbers)
    yield "  ".join("─" * size for size in widths)
    for row in shown:
        yield _table_line(row, widths, result.are_numbers)
    count = len(shown) + more
    if more:
        yield f"({len(shown):,} of {count:,} rows; csv and jsonl hold all of them)"
    else:
        yield f"({count:,} row{'' if count == 1 else 's'})"


def _cell_text(text: str | None, width: int) -> str:
    # Twice the width is enough: more of a long text is never shown.
    return "NULL" if text is None else escape_unprintable(text[: 2 * width])


def _fit_widths(widths: Sequence[int], total: int) -> list[int]:
    """Reduce only the widest columns until all fit, with two spaces between them."""
    room = total - 2 * (len(widths) - 1)
    cap = total
    while cap > _MIN_WIDTH and sum(min(size, cap) for size in widths) > room:
        cap -= 1
    return [min(size, cap) for size in widths]


def _table_line(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    parts = []
    for cell, size, right in zip(cells, widths, to_right, strict=True):
        text = _truncate(cell, size)
        space = " " * (size - _display_width(text))
        parts.append(space + text if right else text + space)
    return "  ".join(parts).rstrip()


def _truncate(text: str, width: int) -> str:
    if _display_width(text) <= width:
        return text
    while _display_width(text) >= width:
        text = text[:-1]
    return text + "…"


def _display_width(text: str) -> int:
    """Return the text's width in terminal columns: wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def escape_unprintable(text: str) -> str:
    r"""Return the text with control and invisible characters escaped, as in \x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
