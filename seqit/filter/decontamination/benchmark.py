"""Items of benchmark files, in any format that `seqit import` reads or as tables of questions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seqit.engine.ingest import AUTO, layout_of, read_format
from seqit.errors import SeqitError
from seqit.records.formats import guess_format, load_format
from seqit.records.readers.rows import decode_texts, read_document, read_raw_rows, read_source_rows
from seqit.records.run_stats import Row, RunStats
from seqit.stores.sources import check_sources, open_source

DEFAULT_COLUMN = "question"
"""The column that is read from a file in none of the formats."""


class BenchmarkItem(NamedTuple):
    """One item of a benchmark, with its parts named as in a record."""

    source: str
    line: int
    parts: dict[str, str]


@dataclass
class Benchmark:
    """Files of items, in one format or in formats detected from their first rows.

    `column` has the text in files of no known format. `unreadable` is the number of rows that could
    not be read, `problem` the error of the first one.
    """

    names: tuple[str, ...]
    format_name: str = AUTO
    column: str = ""
    unreadable: int = 0
    problem: str = ""
    _stats: RunStats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._stats = RunStats("", self._count_unreadable)

    def items(self) -> Iterator[BenchmarkItem]:
        """Yield the items of all files; raises SeqitError for a file without items."""
        for name in check_sources(self.names):
            empty = True
            for item in self._read_file(name):
                empty = False
                yield item
            if empty:
                why = self.problem or "it is empty"
                raise SeqitError(f"{name}: no item of a benchmark could be read: {why}")

    def _read_file(self, name: str) -> Iterator[BenchmarkItem]:
        if not self.column and (self.format_name != AUTO or self._has_known_format(name)):
            for row in read_format([name], self._stats, format_name=self.format_name):
                value = row.value
                parts = {part: value[part] for part in ("instruction", "input", "output")}
                yield BenchmarkItem(row.source, row.line, parts)
        else:
            yield from self._read_table(name, self.column or DEFAULT_COLUMN)

    def _has_known_format(self, name: str) -> bool:
        """Return whether the first row has a known format; False if it has the default column.

        Raises SeqitError if it has neither.
        """
        unread = RunStats("")
        with open_source(name) as source:
            layout = layout_of(source)
            if layout == "lines":
                first = next(decode_texts(read_raw_rows(source, "lines"), name, unread), None)
            elif layout == "rows":
                first = next(read_source_rows(source, unread), None)
            else:
                first = next(read_document(source, unread), None)
        if first is None:
            return True  # the reader of the format reports why
        try:
            load_format(guess_format(first.value, name))
        except SeqitError as error:
            if any(DEFAULT_COLUMN in row for row in _table_rows(first.value)):
                return False
            hint = "or name the column of the text with column=NAME and the format with format=NAME"
            raise SeqitError(f"{error}; {hint}") from None
        return True

    def _read_table(self, name: str, column: str) -> Iterator[BenchmarkItem]:
        """Yield the column of rows without a known format, or of the rows in a document."""
        with open_source(name) as source:
            if layout_of(source) == "document":
                read = read_document(source, self._stats)
            else:
                read = read_source_rows(source, self._stats)
            for row in read:
                for entry in _table_rows(row.value) or ({},):
                    text = entry.get(column)
                    if isinstance(text, str) and text.strip():
                        parts = {"instruction": text, "input": "", "output": ""}
                        yield BenchmarkItem(row.source, row.line, parts)
                    else:
                        message = f"the row has no text {column!r}"
                        self._stats.fail(Row(None, name, row.line), "read", "no-text", message)

    def _count_unreadable(self, reject: dict[str, Any]) -> None:
        self.unreadable += 1
        self.problem = self.problem or f"line {reject['line']}: {reject['message']}"


def _table_rows(value: Any) -> list[dict[str, Any]]:
    """Return the row itself; for a document such as VQAv2's, ``{"questions": […]}``, its rows."""
    if not isinstance(value, dict):
        return []
    for key in ("questions", "data"):
        listed = value.get(key)
        if isinstance(listed, list):
            return [entry if isinstance(entry, dict) else {} for entry in listed]
    return [value]
