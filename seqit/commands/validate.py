"""seqit validate: check every row against a schema."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.validation import Schema

SCHEMAS = ("record", "response", "score", "reject", "manifest")


@click.command("validate", cls=Command, short_help="Check rows against a schema.")
@click.option("--schema", type=click.Choice(SCHEMAS), default="record", show_default=True)
@data_options
def command(job: Job, schema: str) -> None:
    """Check every row against one of seqit's schemas.

    The first five rows that fail are shown, with file, line and field; --rejects keeps them all.

    Raw rows (Alpaca's columns, no id yet) count as valid if seqit can normalize them. With -o the
    valid rows are written, normalized. Exit code 3 means that some rows failed.
    """
    from seqit.records.readers.rows import filter_valid
    from seqit.records.validation import schema as load_schema

    versions: Counter[int] = Counter()

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        valid = rows if schema == "record" else filter_valid(rows, stats, schema)
        checked = load_schema(schema)
        return _count_versions(valid, checked, versions) if checked.version > 1 else valid

    read = job.read_records if schema == "record" else job.read_rows
    summary_lines = partial(_version_lines, schema, versions)
    job.run(transform, read, schema=schema, discard=True, summary_lines=summary_lines)


def _count_versions(
    rows: Iterator["Row"], schema: "Schema", versions: "Counter[int]"
) -> Iterator["Row"]:
    for row in rows:
        if version := schema.older_version(row.value):
            versions[version] += 1
        yield row


def _version_lines(name: str, versions: "Counter[int]", stats: "RunStats") -> list[str]:
    """Return a line for each older version of the schema, with its number of rows."""
    from seqit.records.validation import schema

    current = schema(name).version
    return [
        f"{count:,} row{' is' if count == 1 else 's are'} of version {version} of the {name} "
        f"schema; this seqit writes version {current}"
        for version, count in sorted(versions.items())
    ]
