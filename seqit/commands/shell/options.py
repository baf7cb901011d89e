"""The options that commands over rows share."""

import functools
from collections.abc import Callable
from typing import Any

import click

from seqit.commands.shell.job import MOST_WORKERS, Job

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Work in N processes; the result is the same. Default: one a CPU, at most {MOST_WORKERS}."
    " Small sources and Parquet, in or out, take one.",
)


def data_options(body: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands over rows share; it gets a Job first."""
    return click.argument("sources", nargs=-1, metavar="[SOURCE]...")(output_options(body))


def output_options(body: Callable[..., None]) -> Callable[..., None]:
    """Give a command the same without SOURCEs: it makes its rows itself."""

    @click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all; "
                  "its ending may be .jsonl, .jsonl.gz, .jsonl.zst or .parquet.")  # fmt: skip
    @click.option("--rejects", metavar="FILE", help="Keep every row not written, with the reason.")
    @click.option("--manifest", metavar="FILE", help="Write the account of the run as JSON.")
    @click.option("--strict", is_flag=True, help="Stop at the first row that fails.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress and no closing account.")
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
