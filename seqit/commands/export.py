"""seqit export: records become rows that trainers read unchanged."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats

FORMATS = ("alpaca", "messages", "prompt-completion", "sharegpt")
KEEP = ("id", "steps", "lineage", "source")


@click.command("export", cls=Command, short_help="Turn records into rows that trainers read.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), required=True, help="What the rows become."
)
@click.option(
    "--keep",
    type=click.Choice(KEEP),
    multiple=True,
    help="Keep this field of the record as a column; may be given several times.",
)
@data_options
def command(job: Job, form: str, keep: tuple[str, ...]) -> None:
    """Write records in the format of a trainer, as JSONL.

    alpaca (axolotl, LLaMA-Factory), messages and prompt-completion (trl), sharegpt (axolotl,
    LLaMA-Factory). Metadata goes back to the columns that it came from.
    """
    from seqit.errors import RowError, UsageError
    from seqit.records.formats import load
    from seqit.records.readers.rows import fail_row

    if (job.output or "").endswith(".parquet"):
        raise UsageError("export writes JSONL; Parquet files hold records (seqit filter -o)")
    convert = load(form).from_record

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        for row in rows:
            try:
                yield row.changed(convert(row.value, keep))
            except RowError as error:
                fail_row(stats, row, error, "export")

    job.run(transform, schema=None)
