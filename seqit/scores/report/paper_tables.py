"""Tables for papers: Markdown and LaTeX, in which no name can be more than text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from seqit.scores.report.output import markdown_cell, markdown_line, visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"{\char96}",
    **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}
_SPECIAL = re.compile("[" + re.escape("".join(_LATEX)) + "]")


@dataclass
class Table:
    """A table of plain text; the first `texts` columns say what a row is of, the others numbers."""

    head: Sequence[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    texts: int = 1


def markdown(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the lines of the tables, each with its notes as a list below it."""
    for number, table in enumerate(tables):
        if number:
            yield ""
        yield markdown_line(list(map(markdown_cell, table.head)))
        yield markdown_line([*["---"] * table.texts, *["--:"] * (len(table.head) - table.texts)])
        for row in table.rows:
            yield markdown_line(list(map(markdown_cell, row)))
        if table.notes:
            yield ""
        for note in table.notes:
            yield f"- {markdown_cell(note)}"


def latex(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the lines of tabulars that need no package."""
    for number, table in enumerate(tables):
        if number:
            yield ""
        columns = "l" * table.texts + "r" * (len(table.head) - table.texts)
        yield rf"\begin{{tabular}}{{{columns}}}"
        yield r"\hline"
        yield _latex_line(table.head)
        yield r"\hline"
        yield from map(_latex_line, table.rows)
        yield r"\hline"
        yield r"\end{tabular}"
        for note in table.notes:
            yield rf"\par {{\footnotesize {latex_text(note)}}}"


def _latex_line(cells: Sequence[str]) -> str:
    line = " & ".join(map(latex_text, cells)) + r" \\"
    # The end of the line before would take these for its own arguments.
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def latex_text(text: str) -> str:
    """Return text that LaTeX sets to the letter, on one line."""
    return _SPECIAL.sub(lambda found: _LATEX[found[0]], visible(text)).replace("−", "$-$")
