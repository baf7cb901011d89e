"""seqit validate: is every row what the schema says?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats

SCHEMAS = ("record", "response", "score", "reject", "manifest")


@click.command("validate", cls=Command, short_help="Check rows against a schema.")
@click.option("--schema", type=click.Choice(SCHEMAS), default="record", show_default=True)
@data_options
def command(job: Job, schema: str) -> None:
    """Check every row against a schema: is it what seqit's commands read and write?

    The first five rows that fail are shown, with file, line and field; --rejects keeps them all.

    Raw rows (Alpaca's columns, no id yet) count as valid where seqit can adopt them. With -o the
    valid rows are written, complete. Exit code 3 means that some rows failed.
    """
    from seqit.records.readers.rows import keep_valid

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        return rows if schema == "record" else keep_valid(rows, stats, schema)

    read = job.read_records if schema == "record" else job.read_rows
    job.run(transform, read, schema=schema, discard=True)
