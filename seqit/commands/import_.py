"""seqit import: convert rows of other formats to records."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options, list_option, workers_option

if TYPE_CHECKING:
    from seqit.records.readers.rows import BeforeRead
    from seqit.records.run_stats import Row, RunStats


def _list_formats() -> str:
    from seqit.records.formats import FORMATS, load_format

    return "\n".join(f"{name:18} {load_format(name).description}" for name in FORMATS)


@click.command("import", cls=Command, short_help="Turn rows of other formats into records.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="The format of the sources; auto guesses it from the first row and prints it.",
)
@list_option(_list_formats, "Show the formats and their columns.")
@click.option(
    "--name",
    "dataset",
    metavar="TEXT",
    default="",
    help="The data set's name, for the records' source.",
)
@click.option(
    "--languages",
    metavar="L1,L2",
    default="",
    help="Join sources that have the same rows in these languages; the first is the main one.",
)
@workers_option
@data_options
def command(
    job: Job,
    *,
    form: str,
    dataset: str,
    languages: str,
    workers: int | None,
) -> None:
    """Read rows of another format and write them as records.

    Columns that the format does not define are kept in metadata. XQuAD and MGSM files in several
    languages are joined without --languages if their names contain the language (xquad.de.json).
    Recorded completions of the Seq-Instruct paper's program (seq-instruct) are parsed strictly;
    --manifest counts the rows that the publisher's parser reads differently.
    """
    from seqit.engine.ingest import read_format

    options: dict[str, Any] = {
        "format_name": form,
        "dataset": dataset,
        "languages": [each.strip() for each in languages.split(",") if each.strip()],
        "notify": lambda message: None if job.quiet else say(job.context, message),
    }
    with job.workers(workers) as pool:

        def read(
            names: tuple[str, ...], stats: "RunStats", before_read: "BeforeRead"
        ) -> Iterator["Row"]:
            if pool is None:
                return read_format(names, stats, before_read, **options)
            pool.before_wait = before_read
            return read_format(names, stats, pool.about_to_wait, parallel_map=pool.map, **options)

        job.run(lambda rows, stats: rows, read)
