"""Rows out: standard output or a file that appears whole or not at all; JSONL or Parquet."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from seqit.errors import RowError, SeqitError, UsageError
from seqit.records.account import Account, Row
from seqit.records.partial import partial_file
from seqit.records.stream import fail_row
from seqit.records.validation import Schema

_OTHER_FORMATS = (".csv", ".tsv", ".xlsx", ".arrow", ".parquet.gz", ".parquet.zst")


class Sink(Protocol):
    """Where written rows go."""

    def write(self, line: bytes, value: Any) -> None:
        """Take one row: its JSON text without line end, and its value."""

    def flush(self) -> None:
        """Pass on what was written so far, before a read that may wait."""

    def close(self) -> None:
        """Write what is left."""


class JsonLines:
    """One JSON text a line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._write = file.write
        self.flush = file.flush
        self.close = file.flush

    def write(self, line: bytes, value: Any) -> None:
        """Write one line."""
        self._write(line + b"\n")


class Parquet:
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


class Discard:
    """Counts as written what nobody wants to see, as `validate` does."""

    def write(self, line: bytes, value: Any) -> None:
        """Drop the row."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Hashed:
    """Passes rows on and hashes them: sha256 over the JSON lines as JSONL would hold them."""

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


def write_rows(rows: Iterable[Row], sink: Sink, account: Account, schema: Schema | None) -> None:
    """Write all rows and count them; a row that does not match the schema fails instead."""
    for row, line in with_lines(rows, account, schema):
        sink.write(line, row.value)
        account.written += 1


def with_lines(
    rows: Iterable[Row], account: Account, schema: Schema | None
) -> Iterator[tuple[Row, bytes]]:
    """Yield each row with its JSON text; a row that does not match the schema fails instead.

    A row nobody changed (`raw`) was validated when it was read, and is written byte for byte.
    """
    for row in rows:
        line = row.raw
        if line is None:
            try:
                line = encode(row.value, schema)
            except RowError as error:
                fail_row(account, row, error, "write")
                continue
        yield row, line


def encode(value: Any, schema: Schema | None = None) -> bytes:
    """Return the JSON text of a value; raises RowError where there is none or it is not valid."""
    if schema is not None and not schema.is_valid(value):
        problem = schema.problems(value)[0]
        raise RowError(problem.message, problem.field)
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise RowError(f"the row cannot be written as JSON: {error}") from None


def check_target(name: str) -> None:
    """Raise, before any work, where a file cannot be written; UsageError for an odd name."""
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise SeqitError(f"{name}: the directory {path.parent} does not exist; make it first")


@contextlib.contextmanager
def open_sink(target: str | None, stdout: IO[bytes]) -> Iterator[Sink]:
    """Open standard output (None or ``-``) or a file; its name's ending tells the kind.

    ``.parquet`` is Parquet, ``.gz`` and ``.zst`` are compressed, all else is JSONL. The file
    replaces its predecessor when the block ends well, and is not seen before.
    """
    if target is None or target == "-":
        yield from _closing(JsonLines(stdout))
        return
    check_target(target)
    if target.endswith(_OTHER_FORMATS):
        raise UsageError(f"{target}: rows are written as .jsonl, .jsonl.gz, .jsonl.zst or .parquet")
    with whole_file(target) as file, _compressed(file, target) as content:
        yield from _closing(Parquet(content) if target.endswith(".parquet") else JsonLines(content))


def _closing(sink: Sink) -> Iterator[Sink]:
    yield sink
    sink.close()


@contextlib.contextmanager
def whole_file(target: str) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when the block ends well, or not at all.

    A device or a named pipe is written directly.
    """
    path = Path(target)
    if (descriptor := _descriptor(target)) is not None:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()  # a link stays a link: what it points to is replaced
    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(partial_file(path))
            file = stack.enter_context(partial.open("wb"))
        except OSError as error:
            raise SeqitError(f"{target}: {error.strerror}") from None
        yield file
        file.flush()
        os.fsync(file.fileno())
        if path.exists():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        partial.replace(path)


def _descriptor(target: str) -> int | None:
    """Return the number behind /dev/stdout or /dev/fd/3.

    Opening such a name again would start at the beginning of a file that others write too.
    """
    if target in ("/dev/stdout", "/dev/stderr"):
        return ("/dev/stdout", "/dev/stderr").index(target) + 1
    number = target.removeprefix("/dev/fd/")
    return int(number) if number != target and number.isdecimal() else None


@contextlib.contextmanager
def _compressed(file: IO[bytes], target: str) -> Iterator[IO[bytes]]:
    if target.endswith(".gz"):
        import gzip

        # No file name and no time in the header: the same rows give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif target.endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            yield packed
    else:
        yield file
