"""seqit sql: query records, rejects, manifests, responses and scores with SQL."""

import shutil
import sys
from pathlib import Path

import click

from seqit.commands.shell.command import Command, claim_stdout
from seqit.errors import UsageError

SUFFIX_FORMATS = {
    "": "table",
    ".txt": "table",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
}
SOURCE_SUFFIXES = (".jsonl", ".json", ".gz", ".zst", ".parquet")


@click.command("sql", cls=Command, short_help="Query records, rejects, manifests and scores.")
@click.argument("query", required=False)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl", "markdown", "parquet"]),
    help="The format of the result; default: by the ending of -o, otherwise table.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all.")
@click.option("--tables", is_flag=True, help="Show the views and columns of the SOURCEs.")
def command(
    query: str | None, sources: tuple[str, ...], form: str | None, output: str | None, tables: bool
) -> None:
    """Run one SELECT (DuckDB's SQL) over files; it can read only these files.

    Files of one kind form one view: records, rejects, manifests, responses, scores; its column
    `file` names the file. Other files are views under their own names. With --tables the first
    argument is a SOURCE.

    Scores add the views summary (means with intervals), by_iteration, by_operation, by_chain,
    by_position, judge_health, and traced, which joins them to item, seed and training run.

    \b
        seqit sql "SELECT lineage.operation, count(*) FROM records GROUP BY ALL" sit.jsonl
    """
    from seqit.scores.db.database import Database
    from seqit.scores.report.output import render
    from seqit.stores.targets import atomic_file, check_target

    if tables:
        with Database(tuple(filter(None, (query, *sources)))) as database:
            for view, columns in database.views().items():
                click.echo(view)
                for name, column_type in columns.items():
                    click.echo(f"    {name} {column_type}")
        return
    if not query:
        raise UsageError("name a query: seqit sql 'SELECT count(*) FROM records' sit.jsonl")
    if not sources and " " not in query and query.endswith(SOURCE_SUFFIXES):
        raise UsageError(f"name a query first: seqit sql 'SELECT count(*) FROM records' {query}")
    if output not in (None, "-"):
        check_target(str(output))
    form = form or _format_for(output)
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is not text for a terminal; name a file with -o")
    with Database(sources) as database:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
        pieces = render(database.query(query), form, width)
        if output in (None, "-"):
            with claim_stdout() as stdout:
                stdout.writelines(pieces)
            return
        with atomic_file(str(output)) as file:
            file.writelines(pieces)


def _format_for(output: str | None) -> str:
    """Return the format for a file name's suffix; "table" for standard output."""
    suffix = Path(output).suffix if output else ""
    if suffix not in SUFFIX_FORMATS:
        raise UsageError(f"{output}: give --format, or a name that ends in .csv, .jsonl, …")
    return SUFFIX_FORMATS[suffix]
