"""Tables for papers in Markdown and LaTeX; names are escaped, so that they are shown as text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from seqit.scores.report.output import escape_unprintable, markdown_cell, markdown_line

_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"{\char96}",
    **{char: f"\\{char}" for char in "{}$&#_%"},
}
_LATEX_SPECIAL = re.compile("[" + re.escape("".join(_LATEX_ESCAPES)) + "]")


@dataclass
class Table:
    """A table of plain text; the first `text_columns` are row labels, the others numbers."""

    header: Sequence[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1


def markdown(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the lines of the tables in Markdown, each with its notes as a list below it."""
    for number, table in enumerate(tables):
        if number:
            yield ""
        yield markdown_line(list(map(markdown_cell, table.header)))
        number_columns = len(table.header) - table.text_columns
        yield markdown_line([*["---"] * table.text_columns, *["--:"] * number_columns])
        for row in table.rows:
            yield markdown_line(list(map(markdown_cell, row)))
        if table.notes:
            yield ""
        for note in table.notes:
            yield f"- {markdown_cell(note)}"


def latex(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the lines of LaTeX tabulars that need no package."""
    for number, table in enumerate(tables):
        if number:
            yield ""
        columns = "l" * table.text_columns + "r" * (len(table.header) - table.text_columns)
        yield rf"\begin{{tabular}}{{{columns}}}"
        yield r"\hline"
        yield _latex_line(table.header)
        yield r"\hline"
        yield from map(_latex_line, table.rows)
        yield r"\hline"
        yield r"\end{tabular}"
        for note in table.notes:
            yield rf"\par {{\footnotesize {escape_latex(note)}}}"


def _latex_line(cells: Sequence[str]) -> str:
    line = " & ".join(map(escape_latex, cells)) + r" \\"
    # Otherwise the end of the line before would parse these as its own arguments.
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def escape_latex(text: str) -> str:
    """Return text on one line that LaTeX shows literally."""
    escaped = _LATEX_SPECIAL.sub(lambda match: _LATEX_ESCAPES[match[0]], escape_unprintable(text))
    return escaped.replace("−", "$-$")
