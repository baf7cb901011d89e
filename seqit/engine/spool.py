"""Rows kept on disk until all have been read, then iterated again in input order."""

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
    """A temporary file of rows, none of which stay in memory; deleted when the block ends."""

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
        """Add a row; returns False, and counts it as failed, if it cannot be encoded as JSON."""
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
        """Yield the rows in the order in which they were added, with their bytes."""
        self._file.seek(0)
        while head := self._file.readline():
            source, line, size = orjson.loads(head)
            raw = self._file.read(size)
            self._file.read(1)
            yield Row(orjson.loads(raw), source, line, raw)


def ensure_decoded(row: Row) -> Row:
    """Return the row with `value` decoded from `raw`; rows of worker processes have only `raw`."""
    if row.value is None and row.raw is not None:
        row.value = orjson.loads(row.raw)
    return row
