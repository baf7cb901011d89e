"""Rows in: one reader for JSONL, JSON arrays and Parquet, plain or compressed."""

from collections.abc import Callable, Iterable, Iterator

from seqit.errors import RowError
from seqit.records.account import Account, Row
from seqit.records.adopt import adopt
from seqit.records.decode import decode, not_utf8
from seqit.records.parquet import read_parquet
from seqit.records.sources import BrokenSource, Source, opened
from seqit.records.split import Part, elements, lines
from seqit.records.validation import schema

Wait = Callable[[], None]


def read_records(
    names: Iterable[str], account: Account, before_read: Wait | None = None
) -> Iterator[Row]:
    """Yield every valid record of the sources, in order; the others fail in the account.

    Rows of other shapes are adopted (seqit.records.adopt), so `Row.value` is always a Record.
    Raises SeqitError where a source cannot be opened.
    """
    is_valid = schema("record").is_valid
    for row in read_rows(names, account, before_read):
        if is_valid(row.value):
            yield row
            continue
        try:
            yield row.changed(adopt(row.value))
        except RowError as error:
            fail_row(account, row, error)


def read_rows(
    names: Iterable[str], account: Account, before_read: Wait | None = None
) -> Iterator[Row]:
    """Yield every JSON value of the sources, whatever it holds; unreadable rows fail."""
    for name in names:
        with opened(name, before_read) as source:
            yield from rows_of(source, account)


def rows_of(source: Source, account: Account) -> Iterator[Row]:
    """Yield every JSON value of one open source."""
    if source.is_parquet:
        return _parquet_rows(source, account)
    is_array = source.start.lstrip()[:1] == b"["
    return _json_rows(source, account, elements if is_array else lines)


def lines_of(source: Source, account: Account) -> Iterator[Row]:
    """Yield the lines of one open source as texts; those that are not UTF-8 fail."""
    for number, line in _parts(source, account, lines):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            row = Row(None, source.name, number, line)
            account.fail(row, "read", "not-text", not_utf8(line, error))
        else:
            yield Row(text, source.name, number)


def document_of(source: Source, account: Account) -> Iterator[Row]:
    """Yield one open source as one JSON value, held in memory; its items are not counted yet."""
    try:
        yield Row(decode(b"".join(source.chunks())), source.name)
    except (BrokenSource, RowError) as error:
        account.read += 1
        account.fail(Row(None, source.name), "read", "not-json", str(error))


def keep_valid(rows: Iterator[Row], account: Account, name: str) -> Iterator[Row]:
    """Yield the rows that match schema NAME; the others fail in the account."""
    check = schema(name)
    for row in rows:
        if check.is_valid(row.value):
            yield row
        else:
            problem = check.problems(row.value)[0]
            fail_row(account, row, RowError(problem.message, problem.field))


def fail_row(account: Account, row: Row, error: RowError, stage: str = "validate") -> None:
    """Count a row as failed, with the field that the error names as evidence."""
    where = {"field": error.field} if error.field else {}
    message = f"{error.field}: {error}" if error.field else str(error)
    account.fail(row, stage, "invalid", message, **where)


def _json_rows(
    source: Source, account: Account, split: Callable[[Iterator[bytes]], Iterator[Part]]
) -> Iterator[Row]:
    # The bytes of an array's element may spread over lines: they are not a row of JSONL.
    verbatim = split is lines
    name = source.name
    for number, part in _parts(source, account, split):
        try:
            row = Row(decode(part), name, number, part if verbatim else None)
        except RowError as error:
            account.fail(Row(None, name, number, part), "read", "not-json", str(error))
        else:
            yield row


def _parquet_rows(source: Source, account: Account) -> Iterator[Row]:
    number = 0
    try:
        for number, value in enumerate(read_parquet(source), start=1):
            account.read += 1
            yield Row(value, source.name, number)
    except BrokenSource as broken:
        _fail_rest(account, source, number, broken)


def _parts(
    source: Source, account: Account, split: Callable[[Iterator[bytes]], Iterator[Part]]
) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of each row with its line number; counts rows, readable or not."""
    number = 0
    try:
        for number, part in split(source.chunks()):
            account.read += 1
            if isinstance(part, RowError):
                account.fail(Row(None, source.name, number), "read", "too-long", str(part))
            else:
                yield number, part
    except BrokenSource as broken:
        _fail_rest(account, source, number, broken)


def _fail_rest(account: Account, source: Source, number: int, broken: BrokenSource) -> None:
    account.read += 1  # what nobody can read counts as one row: how many were there is unknown
    account.fail(Row(None, source.name, number), "read", "broken-source", str(broken))
