"""Rows in: one reader for JSONL, JSON arrays and Parquet, plain or compressed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from seqit.errors import RowError
from seqit.records.decode import decode, not_utf8
from seqit.records.normalize import normalize
from seqit.records.parquet import read_parquet
from seqit.records.readers.split import elements, lines
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema
from seqit.stores.sources import BrokenSource, SourceStream, open_source

Wait = Callable[[], None]

RowUnit = Literal["lines", "elements", "values"]
"""What stands for a row in a source: a line of JSON, an element of an array, a decoded value."""

RawRow = tuple[int, Any]
"""Line number, from 1, and what stands there for a row, or the error that says why nothing does."""


def read_records(
    names: Iterable[str], stats: RunStats, before_read: Wait | None = None
) -> Iterator[Row]:
    """Yield every valid record of the sources, in order; the others fail in the account.

    Rows of other shapes are adopted (seqit.records.normalize), so `Row.value` is always a Record.
    Raises SeqitError where a source cannot be opened.
    """
    return to_records(read_rows(names, stats, before_read), stats)


def to_records(rows: Iterable[Row], stats: RunStats) -> Iterator[Row]:
    """Yield the rows that are records, or become records when adopted; the others fail."""
    is_valid = schema("record").is_valid
    for row in rows:
        if is_valid(row.value):
            yield row
            continue
        try:
            yield row.changed(normalize(row.value))
        except RowError as error:
            fail_row(stats, row, error)


def read_rows(
    names: Iterable[str], stats: RunStats, before_read: Wait | None = None
) -> Iterator[Row]:
    """Yield every JSON value of the sources, whatever it holds; unreadable rows fail."""
    for name in names:
        with open_source(name, before_read) as source:
            yield from rows_of(source, stats)


def rows_of(source: SourceStream, stats: RunStats) -> Iterator[Row]:
    """Yield every JSON value of one open source."""
    return rows_from(parts_of(source), source.name, unit_of(source), stats)


def unit_of(source: SourceStream) -> RowUnit:
    """Return what stands for a row in the source, told by its first bytes."""
    if source.is_parquet:
        return "values"
    return "elements" if source.start.lstrip()[:1] == b"[" else "lines"


def parts_of(source: SourceStream, unit: RowUnit | None = None) -> Iterator[RawRow]:
    """Yield what stands for each row of one open source, not decoded yet.

    A source that breaks off ends with its BrokenSource.
    """
    return chain.from_iterable(batches_of(source, unit))


def batches_of(source: SourceStream, unit: RowUnit | None = None) -> Iterator[list[RawRow]]:
    """Yield the same in lists, each of what has come with one read."""
    number = 0
    try:
        for batch in _SPLIT[unit or unit_of(source)](source):
            if batch:
                number = batch[-1][0]
                yield batch
    except BrokenSource as broken:
        yield [(number, broken)]


def _values(source: SourceStream) -> Iterator[list[RawRow]]:
    number = 1
    for rows in read_parquet(source):
        yield list(enumerate(rows, number))
        number += len(rows)


_SPLIT: dict[RowUnit, Callable[[SourceStream], Iterator[list[RawRow]]]] = {
    "lines": lambda source: lines(source.chunks()),
    "elements": lambda source: elements(source.chunks()),
    "values": _values,
}


def rows_from(parts: Iterable[RawRow], name: str, unit: RowUnit, stats: RunStats) -> Iterator[Row]:
    """Yield the rows of parts of the source NAME; counts all, and fails those it cannot decode.

    It depends on nothing but the parts, so that any process may do it.
    """
    # The bytes of an array's element may spread over lines: they are not a row of JSONL.
    verbatim = unit == "lines"
    for number, part in _sound(parts, name, stats):
        if unit == "values":
            yield Row(part, name, number)
            continue
        try:
            row = Row(decode(part), name, number, part if verbatim else None)
        except RowError as error:
            stats.fail(Row(None, name, number, part), "read", "not-json", str(error))
        else:
            yield row


def texts_from(parts: Iterable[RawRow], name: str, stats: RunStats) -> Iterator[Row]:
    """Yield lines of the source NAME as texts; counts all, and fails those that are not UTF-8."""
    for number, line in _sound(parts, name, stats):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            row = Row(None, name, number, line)
            stats.fail(row, "read", "not-text", not_utf8(line, error))
        else:
            yield Row(text, name, number)


def weight(part: RawRow) -> int:
    """Return the bytes of a part that is yet to be decoded, else 0.

    What is decoded already, rows of Parquet, is not for another process: pyarrow has threads,
    which do not live on in a forked one.
    """
    return len(part[1]) if isinstance(part[1], bytes) else 0


def document_of(source: SourceStream, stats: RunStats) -> Iterator[Row]:
    """Yield one open source as one JSON value, held in memory; its items are not counted yet."""
    try:
        yield Row(decode(b"".join(source.chunks())), source.name)
    except (BrokenSource, RowError) as error:
        stats.read += 1
        stats.fail(Row(None, source.name), "read", "not-json", str(error))


_MAKERS = {"response": "seqit respond", "score": "seqit judge and seqit score"}


def keep_valid(rows: Iterator[Row], stats: RunStats, name: str) -> Iterator[Row]:
    """Yield the rows that match schema NAME; the others fail in the account."""
    check = schema(name)
    for row in rows:
        if check.is_valid(row.value):
            yield row
        else:
            problem = check.problems(row.value)[0]
            maker = _MAKERS.get(name)
            hint = f"; rows of this form are made by {maker}" if maker else ""
            fail_row(stats, row, RowError(problem.message + hint, problem.field))


def fail_row(stats: RunStats, row: Row, error: RowError, stage: str = "validate") -> None:
    """Count a row as failed, with the field that the error names as evidence."""
    where = {"field": error.field} if error.field else {}
    message = f"{error.field}: {error}" if error.field else str(error)
    stats.fail(row, stage, "invalid", message, **where)


def _sound(parts: Iterable[RawRow], name: str, stats: RunStats) -> Iterator[RawRow]:
    """Yield the parts that hold something; counts all, and fails those that hold an error."""
    for number, part in parts:
        stats.read += 1
        if isinstance(part, BrokenSource):
            # Counts as one row: how many nobody can read is unknown.
            stats.fail(Row(None, name, number), "read", "broken-source", str(part))
        elif isinstance(part, RowError):
            stats.fail(Row(None, name, number), "read", "too-long", str(part))
        else:
            yield number, part
