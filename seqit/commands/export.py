"""seqit export: convert records to the formats of training libraries."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats

FORMATS = ("alpaca", "messages", "prompt-completion", "sharegpt")
COLUMNS = ("id", "steps", "lineage", "source")


def _parse_columns(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",")) if text else ()
    if not set(names) <= {*COLUMNS}:
        raise click.BadParameter(f"name some of {', '.join(COLUMNS)}")
    return tuple(dict.fromkeys(names))


@click.command("export", cls=Command, short_help="Turn records into rows that trainers read.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), required=True, help="The format of the rows."
)
@click.option(
    "--columns",
    callback=_parse_columns,
    metavar="NAME,…",
    help=f"Fields of the record to keep as columns: {', '.join(COLUMNS)}.",
)
@data_options
def command(job: Job, form: str, columns: tuple[str, ...]) -> None:
    """Write records in the format of a trainer, as JSONL.

    alpaca (axolotl, LLaMA-Factory), messages and prompt-completion (trl), sharegpt (axolotl,
    LLaMA-Factory). Metadata becomes columns again.
    """
    from seqit.errors import RowError, UsageError
    from seqit.records.formats import load_format
    from seqit.records.readers.rows import fail_row

    if (job.output or "").endswith(".parquet"):
        raise UsageError("export writes JSONL; Parquet files hold records (seqit filter -o)")
    convert = load_format(form).from_record

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        for row in rows:
            try:
                yield row.with_value(convert(row.value, columns))
            except RowError as error:
                fail_row(stats, row, error, "export")

    job.run(transform, schema=None)
