"""A command's place in a pipe of one process: who hands rows to it, and to whom it hands them."""

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
    """Do nothing: nothing that was written waits to go on."""


class RowLink:
    """The rows between two commands, as the second would read what the first one writes.

    Each is what a line of standard input would be: decoded, with its bytes. Those of a command
    that writes records need no second look, others are adopted as a reader does.
    """

    def __init__(self, are_records: bool) -> None:
        self.are_records = are_records
        self.rows: Iterator[tuple[Row, bytes]] = iter(())
        self._flush = _nothing

    def flush(self) -> None:
        """Pass on what the commands behind have written, before a read that may wait."""
        self._flush()

    def read(self, stats: "RunStats", before_read: Callable[[], None] | None) -> "Iterator[Row]":
        """Yield the rows, counted by the command that reads them."""
        from seqit.records.readers.split import MAX_ROW, too_long
        from seqit.records.run_stats import Row
        from seqit.stores.sources import STDIN_NAME

        self._flush = before_read or _nothing
        for number, (row, line) in enumerate(self.rows, start=1):
            stats.read += 1
            if len(line) > MAX_ROW:
                message = str(too_long(len(line)))
                stats.fail(Row(None, STDIN_NAME, number), "read", "too-long", message)
            else:
                yield Row(row.value, STDIN_NAME, number, line)


@dataclass
class PipelineSlot:
    """A command's place; alone, it has nobody before and nobody behind."""

    link: RowLink | None = None
    """What the command before hands on."""
    go_on: Callable[[RowLink], None] | None = None
    """Runs the command behind, until it has taken all rows."""
    some_failed: bool = False
    """Whether rows failed; the commands around it go on, and the pipe's exit code says so."""

    @property
    def is_alone(self) -> bool:
        return self.link is None and self.go_on is None

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
    end: Callable[[], None],
) -> "Iterator[tuple[Row, bytes]]":
    """Yield the rows that a command writes, with their bytes; `end` is called after the last.

    What goes wrong while another command takes them is said in this command's name.
    """
    from seqit.records.writers.sink import with_lines

    with error_boundary(ctx):
        for row, line in with_lines(rows, stats, schema):
            sink.write(line, row.value)
            stats.written += 1
            yield row, line
        stats.close()
        end()
