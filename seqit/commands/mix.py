"""seqit mix: combine several sources into one training mixture."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqit.commands._mix_targets import SHARD_FORMATS, Targets
from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options, workers_option
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.mix.recipe import MixRecipe
    from seqit.mix.tokens import TokenCounter
    from seqit.records.run_stats import Row, RunStats


@click.command("mix", cls=Command, short_help="Mix sources by weights or counts.")
@click.option("--rows", metavar="N", help="Rows of the mixture, divided by the weights.")
@click.option("--tokens", metavar="N", help="Tokens of the mixture, divided by the weights.")
@click.option(
    "--mix-temperature",
    type=float,
    metavar="T",
    help="Sources without a weight share in proportion to size**(1/T): 1 by size, inf equally.",
)
@click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="[FILE=]MAX",
    help="The maximum from each source, or from FILE: passes over it (2x), rows (5000) or tokens.",
)
@click.option(
    "--shortfall",
    type=click.Choice(("redistribute", "leave")),
    help="If a cap limits a source: take the rest from the others (the default), or leave it out.",
)
@click.option(
    "--stratify",
    metavar="FIELD=V:SHARE,…",
    help="Shares of the mixture by operation, iteration, language, source or another field; "
    "* is all other values, FIELD=equal gives each value the same share.",
)
@click.option(
    "--held-out",
    metavar="FILE[=SHARE]",
    help="Write all rows of some roots to FILE instead: a share of the roots (default 5%) or a "
    "number of rows.",
)
@click.option("--seed", type=int, help="Decides the sampled rows and their order; default 0.")
@click.option(
    "--tokenizer",
    metavar="FILE",
    help="Count tokens with this tokenizer.json, or with a model's folder.",
)
@click.option("--recipe", "recipe_file", metavar="FILE", help="Read all of this from YAML.")
@click.option("--dry-run", is_flag=True, help="Print requested and achieved amounts; write no row.")
@click.option("--plan-file", metavar="FILE", help="Write requested and achieved amounts as JSON.")
@click.option(
    "--shard-rows",
    type=click.IntRange(1),
    metavar="N",
    help="Write a folder (-o DIR): part-00000, … of N rows each, and plan.json.",
)
@click.option(
    "--shard-format",
    type=click.Choice(SHARD_FORMATS),
    help="The format of the shards; default parquet.",
)
@workers_option
@data_options
def command(job: Job, *, dry_run: bool, workers: int | None, **options: Any) -> None:
    """Sample one shuffled mixture from SOURCEs written FILE=AMOUNT.

    \b
    sit.jsonl=0.4 it.jsonl=0.6 --rows 50000   weights (a dot or %) divide the total
    sit.jsonl=2000 it.jsonl=3000              whole numbers are rows
    sit.jsonl=2e6tokens                       or tokens
    sit.jsonl                                 all of it

    A source smaller than its share is repeated: whole passes, then a random sample; --cap limits
    it.
    """
    from seqit.mix import report
    from seqit.mix.measure import reader_for_files, reader_for_records
    from seqit.mix.mixture import MixOutput, mix

    recipe = _apply_options(_load_recipe(job.sources, options["recipe_file"]), options)
    recipe.to_spec().check()
    job.sources = tuple(path for source in recipe.sources for path in source.paths)
    targets = Targets(job, recipe, dry_run, options)
    targets.check()
    counter = _load_counter(recipe)

    def read(names: Sequence[str], stats: "RunStats", before_read: Any) -> Iterator["Row"]:
        targets.stats = stats
        sources = [
            (source.name, reader_for_files(source.paths, stats, before_read, pool))
            for source in recipe.sources
        ]
        if job.slot.link:
            passed_on = reader_for_records(job.read_records(names, stats, before_read), stats)
            sources = [(sources[0][0], passed_on)]
        output = MixOutput(targets.write_held_out, dry_run, targets.needs_values)
        yield from mix(sources, stats, recipe.to_spec(), counter=counter, output=output)
        for line in report.format_report(stats.results["plan"]):
            if dry_run:
                click.echo(line)
            elif not job.quiet:
                say(job.context, line)

    # A tokenizer has threads, which do not survive in forked processes.
    with job.workers(1 if counter else workers) as pool:
        into = targets.open() if targets.are_several else None
        job.run(lambda rows, stats: rows, read, discard=dry_run, into=into)


def _load_counter(recipe: "MixRecipe") -> "TokenCounter | None":
    from seqit.mix.tokens import load_token_counter

    return load_token_counter(recipe.tokenizer) if recipe.tokenizer else None


def _load_recipe(sources: tuple[str, ...], file: str | None) -> "MixRecipe":
    from seqit.mix.notation import parse_source
    from seqit.mix.recipe import MixRecipe, read_recipe

    recipe = read_recipe(Path(file).read_bytes(), file) if file else None
    if sources:
        parsed = tuple(parse_source(text) for text in sources)
        return dataclasses.replace(recipe, sources=parsed) if recipe else MixRecipe(parsed)
    if recipe:
        return recipe
    if sys.stdin.isatty():
        raise UsageError("nothing to mix: name sources as FILE=AMOUNT, or give a --recipe")
    return MixRecipe((parse_source("-"),))


def _apply_options(recipe: "MixRecipe", options: dict[str, Any]) -> "MixRecipe":
    """Return the recipe, overridden by the options of the command line."""
    from seqit.mix.notation import parse_cap, parse_held_out, parse_strata, parse_total

    if options["rows"] and options["tokens"]:
        raise UsageError("--rows and --tokens both give the total; choose one")
    changes = {name: options[name] for name in ("seed", "tokenizer", "shortfall")}
    changes["temperature"] = options["mix_temperature"]
    for unit in ("rows", "tokens"):
        if options[unit]:
            changes["total"] = parse_total(options[unit], unit)
    if options["stratify"]:
        changes["strata"] = parse_strata(options["stratify"])
    if options["held_out"]:
        changes["held_out"] = parse_held_out(options["held_out"])
    given = {name: value for name, value in changes.items() if value is not None}
    caps = tuple(parse_cap(text) for text in options["caps"])
    return dataclasses.replace(recipe, **given).with_caps(caps)
