"""The items of benchmark files: whatever `seqit import` reads, and plain tables of questions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seqit.engine.ingest import AUTO, layout_of, read_format
from seqit.errors import SeqitError
from seqit.records.formats import guess, load
from seqit.records.readers.rows import document_of, parts_of, rows_of, texts_from
from seqit.records.run_stats import Row, RunStats
from seqit.stores.sources import check_sources, open_source

QUESTION = "question"
"""The column that is read where a file is in none of the formats."""


class Item(NamedTuple):
    """One item of a benchmark, its parts by the names that a record has for them."""

    source: str
    line: int
    parts: dict[str, str]


@dataclass
class Benchmark:
    """Files of items, in one format or each in one that its first row tells.

    `column` names the text of files that are in no format. `unreadable` counts the rows that
    could not be read, and `problem` says what was wrong with the first.
    """

    names: tuple[str, ...]
    form: str = AUTO
    column: str = ""
    unreadable: int = 0
    problem: str = ""
    _stats: RunStats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._stats = RunStats("", self._note)

    def items(self) -> Iterator[Item]:
        """Yield the items of all files; raises SeqitError for a file that holds none."""
        for name in check_sources(self.names):
            empty = True
            for item in self._of(name):
                empty = False
                yield item
            if empty:
                why = self.problem or "it is empty"
                raise SeqitError(f"{name}: no item of a benchmark could be read: {why}")

    def _of(self, name: str) -> Iterator[Item]:
        if not self.column and (self.form != AUTO or self._is_known(name)):
            for row in read_format([name], self._stats, form=self.form):
                value = row.value
                parts = {part: value[part] for part in ("instruction", "input", "output")}
                yield Item(row.source, row.line, parts)
        else:
            yield from self._table(name, self.column or QUESTION)

    def _is_known(self, name: str) -> bool:
        """Tell whether the first row is in a format; raises SeqitError where nothing fits it."""
        unread = RunStats("")
        with open_source(name) as source:
            layout = layout_of(source)
            if layout == "lines":
                first = next(texts_from(parts_of(source, "lines"), name, unread), None)
            elif layout == "rows":
                first = next(rows_of(source, unread), None)
            else:
                first = next(document_of(source, unread), None)
        if first is None:
            return True  # its reader says why
        try:
            load(guess(first.value, name))
        except SeqitError as error:
            if any(QUESTION in row for row in _rows(first.value)):
                return False
            hint = "or name the column of the text with column=NAME and the format with format=NAME"
            raise SeqitError(f"{error}; {hint}") from None
        return True

    def _table(self, name: str, column: str) -> Iterator[Item]:
        """Yield the column of rows that are in no format, or of the rows that a document lists."""
        with open_source(name) as source:
            if layout_of(source) == "document":
                read = document_of(source, self._stats)
            else:
                read = rows_of(source, self._stats)
            for row in read:
                for entry in _rows(row.value) or ({},):
                    text = entry.get(column)
                    if isinstance(text, str) and text.strip():
                        parts = {"instruction": text, "input": "", "output": ""}
                        yield Item(row.source, row.line, parts)
                    else:
                        message = f"the row has no text {column!r}"
                        self._stats.fail(Row(None, name, row.line), "read", "no-text", message)

    def _note(self, reject: dict[str, Any]) -> None:
        self.unreadable += 1
        self.problem = self.problem or f"line {reject['line']}: {reject['message']}"


def _rows(value: Any) -> list[dict[str, Any]]:
    """Return the row; for a document as VQAv2's, ``{"questions": […]}``, the rows in it."""
    if not isinstance(value, dict):
        return []
    for key in ("questions", "data"):
        listed = value.get(key)
        if isinstance(listed, list):
            return [entry if isinstance(entry, dict) else {} for entry in listed]
    return [value]
