"""Rows that wait on disk until all are known, to be gone through again in their order."""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import orjson

from seqit.errors import RowError
from seqit.records.readers.rows import fail_row
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema
from seqit.records.writers.sink import encode


class Spool:
    """One temporary file of rows, and nothing of them in memory; gone when the block ends."""

    def __init__(self, stats: RunStats) -> None:
        self._stats = stats
        self._schema = schema("record")
        self._file = tempfile.TemporaryFile(prefix="seqit-filter-")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: Row) -> bool:
        """Take in a row; one that cannot be written fails, as it would when it is written."""
        raw = row.raw
        if raw is None:
            try:
                raw = encode(row.value, self._schema)
            except RowError as error:
                fail_row(self._stats, row, error, "write")
                return False
        self._file.write(orjson.dumps([row.source, row.line, len(raw)]) + b"\n" + raw + b"\n")
        return True

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order in which they came, with their bytes."""
        self._file.seek(0)
        while head := self._file.readline():
            source, line, size = orjson.loads(head)
            raw = self._file.read(size)
            self._file.read(1)
            yield Row(orjson.loads(raw), source, line, raw)


def value_of(row: Row) -> Row:
    """Return the row with its value, which one from another process comes without."""
    if row.value is None and row.raw is not None:
        row.value = orjson.loads(row.raw)
    return row
