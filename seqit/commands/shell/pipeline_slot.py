"""A command's slot in a pipe of one process: where its rows come from, and where they go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import error_boundary

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.validation import Schema
    from seqit.records.writers.sink import Sink


def _no_flush() -> None:
    """Flush nothing: no command reads yet."""


class RowLink:
    """The rows between two commands, as the second one would read them from a shell's pipe.

    Each row is decoded and has its bytes, like a line of standard input. Rows of a command that
    writes records are not validated again; others are normalized as by a reader.
    """

    def __init__(self, are_records: bool) -> None:
        self.are_records = are_records
        self.rows: Iterator[tuple[Row, bytes]] = iter(())
        self._flush = _no_flush

    def flush(self) -> None:
        """Flush the output of the later commands, before a read that may block."""
        self._flush()

    def read(self, stats: "RunStats", before_read: Callable[[], None] | None) -> "Iterator[Row]":
        """Yield the rows, counted in the statistics of the reading command."""
        from seqit.records.readers.split import MAX_ROW, row_too_long
        from seqit.records.run_stats import Row
        from seqit.stores.sources import STDIN_NAME

        self._flush = before_read or _no_flush
        for number, (row, line) in enumerate(self.rows, start=1):
            stats.read += 1
            if len(line) > MAX_ROW:
                message = str(row_too_long(len(line)))
                stats.fail(Row(None, STDIN_NAME, number), "read", "too-long", message)
            else:
                yield Row(row.value, STDIN_NAME, number, line)


@dataclass
class PipelineSlot:
    """A command's slot in a pipe; outside a pipe it has no previous and no next command."""

    link: RowLink | None = None
    """The rows of the previous command."""
    run_next: Callable[[RowLink], None] | None = None
    """Runs the next command until it has read all rows."""
    some_failed: bool = False
    """Whether rows failed; the other commands continue, and the pipe's exit code is 3."""

    @property
    def is_alone(self) -> bool:
        return self.link is None and self.run_next is None

    @classmethod
    def of(cls, ctx: click.Context) -> "PipelineSlot":
        """Return the slot of the command that runs in this context."""
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

    An error is reported with the name of this command, not of the one that reads the rows.
    """
    from seqit.records.writers.sink import encode_rows

    with error_boundary(ctx):
        for row, line in encode_rows(rows, stats, schema):
            sink.write(line, row.value)
            stats.written += 1
            yield row, line
        stats.close()
        finish()
