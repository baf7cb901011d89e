"""A command's place in a pipe of one process: what it reads from, and what it passes rows to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import error_boundary

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.validation import Schema
    from seqit.records.writers.sink import Sink


def _nothing() -> None:
    """Do nothing: there is no output to flush."""


class RowLink:
    """The rows between two commands, as the second would read what the first one writes.

    Each is what a line of standard input would be: decoded, with its bytes. Rows of a command
    that writes records are not validated again; others are normalized as a reader does.
    """

    def __init__(self, are_records: bool) -> None:
        self.are_records = are_records
        self.rows: Iterator[tuple[Row, bytes]] = iter(())
        self._flush = _nothing

    def flush(self) -> None:
        """Flush the output of the commands behind, before a read that may block."""
        self._flush()

    def read(self, stats: "RunStats", before_read: Callable[[], None] | None) -> "Iterator[Row]":
        """Yield the rows; they are counted by the command that reads them."""
        from seqit.records.readers.split import MAX_ROW, row_too_long
        from seqit.records.run_stats import Row
        from seqit.stores.sources import STDIN_NAME

        self._flush = before_read or _nothing
        for number, (row, line) in enumerate(self.rows, start=1):
            stats.read += 1
            if len(line) > MAX_ROW:
                message = str(row_too_long(len(line)))
                stats.fail(Row(None, STDIN_NAME, number), "read", "too-long", message)
            else:
                yield Row(row.value, STDIN_NAME, number, line)


@dataclass
class PipelineSlot:
    """A command's place; on its own, it has no command before it and none behind it."""

    link: RowLink | None = None
    """The rows of the command before."""
    run_next: Callable[[RowLink], None] | None = None
    """Runs the command behind, until it has read all rows."""
    some_failed: bool = False
    """Whether rows failed; the other commands go on, and the pipe's exit code is 3."""

    @property
    def is_alone(self) -> bool:
        return self.link is None and self.run_next is None

    @classmethod
    def of(cls, ctx: click.Context) -> "PipelineSlot":
        """Return the place of the command that runs in this context."""
        return ctx.obj if isinstance(ctx.obj, cls) else cls()


def pass_on_rows(
    rows: "Iterator[Row]",
    ctx: click.Context,
    stats: "RunStats",
    *,
    schema: "Schema | None",
    sink: "Sink",
    finish: Callable[[], None],
) -> "Iterator[tuple[Row, bytes]]":
    """Yield the rows that a command writes, with their bytes; call `finish` after the last.

    An error raised while another command reads them is reported in this command's name.
    """
    from seqit.records.writers.sink import encode_rows

    with error_boundary(ctx):
        for row, line in encode_rows(rows, stats, schema):
            sink.write(line, row.value)
            stats.written += 1
            yield row, line
        stats.close()
        finish()
