"""Writing rows as JSONL or Parquet, to standard output or to a file that is replaced atomically."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, Protocol

import orjson

from seqit.errors import RowError, UsageError
from seqit.records.readers.rows import fail_row
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import Schema
from seqit.stores.targets import atomic_file, check_target, compressed

_OTHER_FORMATS = (".csv", ".tsv", ".xlsx", ".arrow", ".parquet.gz", ".parquet.zst")


class Sink(Protocol):
    """Destination of written rows."""

    def write(self, line: bytes, value: Any) -> None:
        """Write one row: its JSON text without line end, and its value."""

    def flush(self) -> None:
        """Pass on what was written so far, before a read that may block."""

    def close(self) -> None:
        """Write what is still buffered."""


class JsonLinesSink:
    """JSONL: one JSON text per line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._write = file.write
        self.flush = file.flush
        self.close = file.flush

    def write(self, line: bytes, value: Any) -> None:
        """Write one line."""
        self._write(line + b"\n")


class ParquetSink:
    """Records in Parquet row groups."""

    def __init__(self, file: IO[bytes]) -> None:
        from seqit.records.parquet import ParquetRecords

        self._records = ParquetRecords(file)
        self.close = self._records.close

    def write(self, line: bytes, value: Any) -> None:
        """Add one record to the row group."""
        self._records.write(value)

    def flush(self) -> None:
        """Do nothing: a row group is written when it is full."""


class NullSink:
    """Discards rows that are only counted, as in `validate`."""

    def write(self, line: bytes, value: Any) -> None:
        """Drop the row."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class HashingSink:
    """Passes rows on and computes the sha256 of their JSON lines, as in an uncompressed JSONL."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.flush = sink.flush
        self.close = sink.close

    def write(self, line: bytes, value: Any) -> None:
        """Hash and pass on one row."""
        self._hash.update(line)
        self._hash.update(b"\n")
        self._sink.write(line, value)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def write_rows(rows: Iterable[Row], sink: Sink, stats: RunStats, schema: Schema | None) -> None:
    """Write all rows and count them; a row that does not match the schema counts as failed."""
    for row, line in encode_rows(rows, stats, schema):
        sink.write(line, row.value)
        stats.written += 1


def encode_rows(
    rows: Iterable[Row], stats: RunStats, schema: Schema | None
) -> Iterator[tuple[Row, bytes]]:
    """Yield each row with its JSON text; a row that does not match the schema counts as failed.

    An unchanged row (with `raw`) was validated when it was read, and is written byte for byte.
    """
    for row in rows:
        line = row.raw
        if line is None:
            try:
                line = encode(row.value, schema)
            except RowError as error:
                fail_row(stats, row, error, "write")
                continue
        yield row, line


def encode(value: Any, schema: Schema | None = None) -> bytes:
    """Return the JSON text of a value; raises RowError if it is invalid or cannot be encoded."""
    if schema is not None and not schema.is_valid(value):
        problem = schema.problems(value)[0]
        raise RowError(problem.message, problem.field)
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise RowError(f"the row cannot be written as JSON: {error}") from None


@contextlib.contextmanager
def open_sink(target: str | None, stdout: IO[bytes]) -> Iterator[Sink]:
    """Open standard output (None or ``-``) or a file, in the format of its suffix.

    ``.parquet`` is Parquet, ``.gz`` and ``.zst`` are compressed JSONL, all else is JSONL. The file
    replaces an existing one if the block ends without an error. Raises UsageError for suffixes of
    other formats.
    """
    if target is None or target == "-":
        yield from _close_after(JsonLinesSink(stdout))
        return
    check_target(target)
    if target.endswith(_OTHER_FORMATS):
        raise UsageError(f"{target}: rows are written as .jsonl, .jsonl.gz, .jsonl.zst or .parquet")
    with atomic_file(target) as file, compressed(file, target) as content:
        is_parquet = target.endswith(".parquet")
        yield from _close_after(ParquetSink(content) if is_parquet else JsonLinesSink(content))


def _close_after(sink: Sink) -> Iterator[Sink]:
    yield sink
    sink.close()
