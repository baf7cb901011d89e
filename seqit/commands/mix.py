"""seqit mix: several sources become one training mixture."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqit.commands._job import Job, data_options
from seqit.commands._shell import Command, say
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.mix.recipe import Recipe
    from seqit.records.account import Account, Row


@click.command("mix", cls=Command, short_help="Mix sources by weights or counts.")
@click.option("--rows", metavar="N", help="Rows of the mixture, which the weights divide.")
@click.option("--tokens", metavar="N", help="Tokens of the mixture, which the weights divide.")
@click.option("--seed", type=int, help="Decides what is drawn, and the order; default 0.")
@click.option("--tokenizer", metavar="FILE", help="Count tokens with this tokenizer.json.")
@click.option("--recipe", "recipe_file", metavar="FILE", help="Read sources and totals from YAML.")
@click.option("--plan", is_flag=True, help="Show requested against achieved; write no row.")
@data_options
def command(  # noqa: PLR0917  (click calls it by name)
    job: Job,
    rows: str | None,
    tokens: str | None,
    seed: int | None,
    tokenizer: str | None,
    recipe_file: str | None,
    plan: bool,
) -> None:
    """Draw one shuffled mixture from SOURCEs written FILE=AMOUNT.

    \b
    sit.jsonl=0.4 it.jsonl=0.6 --rows 50000   weights (a dot or %) divide the total
    sit.jsonl=2000 it.jsonl=3000              whole numbers are rows
    sit.jsonl=2e6tokens                       or tokens
    sit.jsonl                                 all of it

    A source smaller than its share is repeated: whole passes, then a drawn rest.
    """
    from seqit.mix import report
    from seqit.mix.mixture import mix
    from seqit.mix.tokens import tokenizer as load_tokenizer
    from seqit.records.stream import read_records

    recipe = _recipe(job.sources, recipe_file)
    if rows and tokens:
        raise UsageError("--rows and --tokens both give the total; choose one")
    changes = {"total": _total(rows, tokens), "seed": seed, "tokenizer": tokenizer}
    recipe = dataclasses.replace(recipe, **{k: v for k, v in changes.items() if v is not None})
    job.sources = tuple(path for source in recipe.sources for path in source.paths)
    counter = None
    if recipe.tokenizer:
        text = Path(recipe.tokenizer).read_text(encoding="utf-8")
        counter = load_tokenizer(text, recipe.tokenizer)

    def read(names: Sequence[str], account: "Account", wait: Any) -> Iterator["Row"]:
        parts = [(s.name, s.amount, read_records(s.paths, account, wait)) for s in recipe.sources]
        yield from mix(
            parts,
            account,
            seed=recipe.seed or 0,
            total=recipe.total,
            counter=counter,
            plan_only=plan,
        )
        for line in report.lines(account.counts["plan"]):
            if plan:
                click.echo(line)
            elif not job.quiet:
                say(job.context, line)

    job.run(lambda mixed, account: mixed, read, discard=plan)


def _recipe(sources: tuple[str, ...], file: str | None) -> "Recipe":
    from seqit.mix.recipe import Recipe, parse_source, read_recipe

    recipe = read_recipe(Path(file).read_bytes(), file) if file else None
    if sources:
        parsed = tuple(parse_source(text) for text in sources)
        return dataclasses.replace(recipe, sources=parsed) if recipe else Recipe(parsed)
    if recipe:
        return recipe
    if sys.stdin.isatty():
        raise UsageError("nothing to mix: name sources as FILE=AMOUNT, or give a --recipe")
    return Recipe((parse_source("-"),))


def _total(rows: str | None, tokens: str | None) -> Any:
    from seqit.mix.recipe import parse_total

    if rows:
        return parse_total(rows, "rows")
    return parse_total(tokens, "tokens") if tokens else None
