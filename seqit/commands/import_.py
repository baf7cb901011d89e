"""seqit import: rows of other formats become records."""

from functools import partial

import click

from seqit.commands._shell import Command, Job, data_options, say


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
@data_options
def command(job: Job, form: str, list_formats: bool, dataset: str, languages: str) -> None:
    """Read rows of another format and write them as records.

    Columns that the format does not know are kept in metadata. XQuAD and MGSM files in several
    languages are paired by themselves, told by their names (xquad.de.json).
    """
    from seqit.records.formats import FORMATS, load
    from seqit.records.ingest import read_format

    if list_formats:
        for name in FORMATS:
            click.echo(f"{name:18} {load(name).description}")
        return
    read = partial(
        read_format,
        form=form,
        dataset=dataset,
        languages=[each.strip() for each in languages.split(",") if each.strip()],
        say=lambda message: None if job.quiet else say(job.context, message),
    )
    job.run(lambda rows, account: rows, read)
