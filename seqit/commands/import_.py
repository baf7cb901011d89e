"""seqit import: rows of other formats become records."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options, workers_option

if TYPE_CHECKING:
    from seqit.records.readers.rows import Wait
    from seqit.records.run_stats import Row, RunStats


@click.command("import", cls=Command, short_help="Turn rows of other formats into records.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="The format of the sources; auto guesses from the first row and says so.",
)
@click.option("--list-formats", is_flag=True, help="Show the formats and their columns.")
@click.option("--name", "dataset", metavar="TEXT", default="", help="Name in the records' source.")
@click.option(
    "--languages",
    metavar="L1,L2",
    default="",
    help="The sources are the same rows in these languages: join them, the first one leads.",
)
@workers_option
@data_options
def command(
    job: Job,
    *,
    form: str,
    list_formats: bool,
    dataset: str,
    languages: str,
    workers: int | None,
) -> None:
    """Read rows of another format and write them as records.

    Columns that the format does not know are kept in metadata. XQuAD and MGSM files in several
    languages are paired by themselves, told by their names (xquad.de.json). Recorded
    completions of the Seq-Instruct paper's program (seq-instruct) are read strictly; --manifest
    counts where their publisher read something else.
    """
    from seqit.engine.ingest import read_format
    from seqit.records.formats import FORMATS, load

    if list_formats:
        for name in FORMATS:
            click.echo(f"{name:18} {load(name).description}")
        return
    options: dict[str, Any] = {
        "form": form,
        "dataset": dataset,
        "languages": [each.strip() for each in languages.split(",") if each.strip()],
        "say": lambda message: None if job.quiet else say(job.context, message),
    }
    with job.workers(workers) as pool:

        def read(names: tuple[str, ...], stats: "RunStats", wait: "Wait") -> Iterator["Row"]:
            if pool is None:
                return read_format(names, stats, wait, **options)
            pool.before_wait = wait
            return read_format(names, stats, pool.about_to_wait, spread=pool.map, **options)

        job.run(lambda rows, stats: rows, read)
