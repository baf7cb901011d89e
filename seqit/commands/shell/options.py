"""The options that all commands over rows share."""

import functools
from collections.abc import Callable
from typing import Any

import click

from seqit.commands.shell.job import MAX_WORKERS, Job

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Use N processes; the result is the same. Default: one per CPU, at most {MAX_WORKERS}. "
    "Small sources and Parquet, in or out, use one.",
)


def list_option(render: Callable[[], str], help_text: str) -> Callable[..., Any]:
    """Return the option --list, which prints the text of `render` and exits."""

    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(render())
            ctx.exit()

    return click.option(
        "--list", is_flag=True, is_eager=True, expose_value=False, callback=show, help=help_text
    )


def data_options(body: Callable[..., None]) -> Callable[..., None]:
    """Add SOURCE and the options that all commands over rows share; passes a Job first."""
    return click.argument("sources", nargs=-1, metavar="[SOURCE]...")(output_options(body))


def output_options(body: Callable[..., None]) -> Callable[..., None]:
    """Add the same options without SOURCE, for a command that reads no rows."""

    @click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all; "
                  "its ending may be .jsonl, .jsonl.gz, .jsonl.zst or .parquet.")  # fmt: skip
    @click.option("--rejects", metavar="FILE", help="Keep every row not written, with the reason.")
    @click.option("--manifest", metavar="FILE", help="Write the statistics of the run as JSON.")
    @click.option("--strict", is_flag=True, help="Stop at the first row that fails.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress and no closing statistics.")
    @click.pass_context
    @functools.wraps(body)
    def command(
        ctx: click.Context,
        /,
        *,
        sources: tuple[str, ...] = (),
        output: str | None,
        rejects: str | None,
        manifest: str | None,
        strict: bool,
        quiet: bool,
        **options: Any,
    ) -> None:
        job = Job(sources, output, rejects, manifest, strict, quiet, options, ctx)
        body(job, **options)

    return command
