"""Reading rows from JSONL, JSON arrays and Parquet, plain or compressed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from seqit.errors import RowError
from seqit.records.decode import decode, not_utf8_message
from seqit.records.normalize import normalize
from seqit.records.parquet import read_parquet
from seqit.records.readers.split import split_array, split_lines
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema
from seqit.stores.sources import BrokenSource, SourceStream, open_source

BeforeRead = Callable[[], None]
"""Called before each read that may block, to flush the results of earlier rows."""

RowUnit = Literal["lines", "elements", "values"]
"""What a raw row is in a source: a line of JSON, an element of an array, or a decoded value."""

RawRow = tuple[int, Any]
"""Line number, from 1, and the bytes or the value of a row, or the error if it cannot be read."""


def read_records(
    names: Iterable[str], stats: RunStats, before_read: BeforeRead | None = None
) -> Iterator[Row]:
    """Yield every valid record of the sources, in order; other rows count as failed.

    Rows are normalized (seqit.records.normalize), so `Row.value` is always a Record. Raises
    SeqitError if a source cannot be opened.
    """
    return to_records(read_rows(names, stats, before_read), stats)


def to_records(rows: Iterable[Row], stats: RunStats) -> Iterator[Row]:
    """Yield the rows that are records, normalized if needed; the others count as failed."""
    is_valid = schema("record").is_valid
    for row in rows:
        if is_valid(row.value):
            yield row
            continue
        try:
            yield row.with_value(normalize(row.value))
        except RowError as error:
            fail_row(stats, row, error)


def read_rows(
    names: Iterable[str], stats: RunStats, before_read: BeforeRead | None = None
) -> Iterator[Row]:
    """Yield every JSON value of the sources, of any type; rows that cannot be decoded fail."""
    for name in names:
        with open_source(name, before_read) as source:
            yield from read_source_rows(source, stats)


def read_source_rows(source: SourceStream, stats: RunStats) -> Iterator[Row]:
    """Yield every JSON value of one open source."""
    return decode_rows(read_raw_rows(source), source.name, row_unit(source), stats)


def row_unit(source: SourceStream) -> RowUnit:
    """Return the unit of the source's rows, detected from its first bytes."""
    if source.is_parquet:
        return "values"
    return "elements" if source.start.lstrip()[:1] == b"[" else "lines"


def read_raw_rows(source: SourceStream, unit: RowUnit | None = None) -> Iterator[RawRow]:
    """Yield the raw rows of one open source; a broken source ends with its BrokenSource."""
    return chain.from_iterable(read_raw_batches(source, unit))


def read_raw_batches(source: SourceStream, unit: RowUnit | None = None) -> Iterator[list[RawRow]]:
    """Yield the same in lists, one for each read that completes any row."""
    number = 0
    try:
        for batch in _SPLITTERS[unit or row_unit(source)](source):
            if batch:
                number = batch[-1][0]
                yield batch
    except BrokenSource as error:
        yield [(number, error)]


def _values(source: SourceStream) -> Iterator[list[RawRow]]:
    number = 1
    for rows in read_parquet(source):
        yield list(enumerate(rows, number))
        number += len(rows)


_SPLITTERS: dict[RowUnit, Callable[[SourceStream], Iterator[list[RawRow]]]] = {
    "lines": lambda source: split_lines(source.chunks()),
    "elements": lambda source: split_array(source.chunks()),
    "values": _values,
}


def decode_rows(
    raw_rows: Iterable[RawRow], name: str, unit: RowUnit, stats: RunStats
) -> Iterator[Row]:
    """Yield the decoded rows of the source `name`; counts all, and fails those it cannot decode.

    It depends only on `raw_rows`, so that it can run in any process.
    """
    # An array's element may span several lines, so that its bytes are not a row of JSONL.
    verbatim = unit == "lines"
    for number, raw in _without_errors(raw_rows, name, stats):
        if unit == "values":
            yield Row(raw, name, number)
            continue
        try:
            row = Row(decode(raw), name, number, raw if verbatim else None)
        except RowError as error:
            stats.fail(Row(None, name, number, raw), "read", "not-json", str(error))
        else:
            yield row


def decode_texts(raw_rows: Iterable[RawRow], name: str, stats: RunStats) -> Iterator[Row]:
    """Yield the lines of the source `name` as texts; counts all, fails those that are not UTF-8."""
    for number, line in _without_errors(raw_rows, name, stats):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            row = Row(None, name, number, line)
            stats.fail(row, "read", "not-text", not_utf8_message(line, error))
        else:
            yield Row(text, name, number)


def undecoded_size(raw_row: RawRow) -> int:
    """Return the size in bytes of a row that is not decoded yet, else 0.

    Rows of Parquet, which are decoded already, do not start workers: pyarrow has threads, which
    do not survive a fork.
    """
    return len(raw_row[1]) if isinstance(raw_row[1], bytes) else 0


def read_document(source: SourceStream, stats: RunStats) -> Iterator[Row]:
    """Yield one open source as one JSON value, wholly in memory; its items are not counted yet."""
    try:
        yield Row(decode(b"".join(source.chunks())), source.name)
    except (BrokenSource, RowError) as error:
        stats.read += 1
        stats.fail(Row(None, source.name), "read", "not-json", str(error))


_PRODUCERS = {"response": "seqit respond", "score": "seqit judge and seqit score"}


def filter_valid(rows: Iterator[Row], stats: RunStats, name: str) -> Iterator[Row]:
    """Yield the rows that match the schema `name`; the others count as failed."""
    row_schema = schema(name)
    for row in rows:
        if row_schema.is_valid(row.value):
            yield row
        else:
            problem = row_schema.problems(row.value)[0]
            producer = _PRODUCERS.get(name)
            hint = f"; rows of this form are made by {producer}" if producer else ""
            fail_row(stats, row, RowError(problem.message + hint, problem.field))


def fail_row(stats: RunStats, row: Row, error: RowError, stage: str = "validate") -> None:
    """Count a row as failed, with the field that the error names as evidence."""
    evidence = {"field": error.field} if error.field else {}
    message = f"{error.field}: {error}" if error.field else str(error)
    stats.fail(row, stage, "invalid", message, **evidence)


def _without_errors(raw_rows: Iterable[RawRow], name: str, stats: RunStats) -> Iterator[RawRow]:
    """Yield the raw rows that could be read; counts all, and fails those that are errors."""
    for number, raw in raw_rows:
        stats.read += 1
        if isinstance(raw, BrokenSource):
            # Counts as one row: how many rows are lost is unknown.
            stats.fail(Row(None, name, number), "read", "broken-source", str(raw))
        elif isinstance(raw, RowError):
            stats.fail(Row(None, name, number), "read", "too-long", str(raw))
        else:
            yield number, raw
