"""seqit filter: rows that no rule objects to, and what is drawn of them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqit.commands._filter_sampling import Sampling, sampling_for
from seqit.commands.shell.command import Command, SectionOption, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.options import data_options, workers_option
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.filter.recipe import FilterRecipe
    from seqit.filter.rule import Rule
    from seqit.records.run_stats import Row, RunStats

DRAWING = partial(click.option, cls=SectionOption, section="Drawing from the rows that pass")
SCORING = partial(click.option, cls=SectionOption, section="Scores")


@click.command("filter", cls=Command, short_help="Keep the rows that no rule objects to.")
@click.option(
    "-r",
    "--rule",
    "rules",
    metavar="NAME[:P=V,…]",
    multiple=True,
    help="Add a rule, or give one other parameters: length:field=output,max_words=512.",
)
@click.option("--skip", metavar="NAME", multiple=True, help="Leave out a rule of the default set.")
@click.option("--no-defaults", is_flag=True, help="Only the rules given with --rule.")
@click.option("--list", "list_rules", is_flag=True, help="Explain the rules and their parameters.")
@click.option(
    "--recipe",
    "recipe_file",
    metavar="FILE",
    help="Read rules and options from YAML; implies --table and --no-defaults.",
)
@click.option("--table", is_flag=True, help="Show at the end what each rule saw and removed.")
@click.option(
    "--verbs",
    is_flag=True,
    help="Show at the end what the rows written ask for: verbs and their objects, in English.",
)
@click.option(
    "--explain",
    metavar="ID",
    help="Write no rows: tell what every rule says of the row with this id, or its beginning.",
)
@SCORING(
    "--keep",
    metavar="EXPRESSION",
    help="Keep rows for whose scores this SQL expression "
    'holds: "quality >= 4 AND following = 1". Rows without scores are rejected as such.',
)
@SCORING(
    "--scores",
    metavar="FILE",
    multiple=True,
    help="Rows of scores: id, metric (or name) and "
    "value, or id and one column a score; may be given several times.",
)
@DRAWING(
    "--match-length",
    metavar="FILE",
    help="Draw rows whose outputs are distributed in length as those of FILE.",
)
@DRAWING(
    "--tokenizer",
    metavar="FILE",
    help="Measure that length in tokens of this tokenizer.json, not in words.",
)
@DRAWING(
    "--diverse",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N rows whose tasks differ from one another as much as can be.",
)
@DRAWING(
    "--embeddings",
    metavar="DIR",
    help="Tell how much they differ by this sentence-embedding model, not by their words.",
)
@DRAWING("--seed", type=int, help="Decides what is drawn; default 0.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="What the rules that remember rows may take together, as 400MB; the rest goes to a "
    "temporary file. Default: 400MB each.",
)
@workers_option
@data_options
def command(
    job: Job,
    *,
    rules: tuple[str, ...],
    skip: tuple[str, ...],
    no_defaults: bool,
    list_rules: bool,
    recipe_file: str | None,
    table: bool,
    verbs: bool,
    explain: str | None,
    workers: int | None,
    **settings: Any,
) -> None:
    """Write the rows that pass every rule, byte for byte as they came, unless a rule masks.

    A rejected row is counted under its rule; --rejects keeps it with the evidence.
    """
    if list_rules:
        click.echo(_listing())
        return
    recipe = _recipe(rules, skip, no_defaults, recipe_file, settings)
    with contextlib.ExitStack() as stack:
        chosen: list[Rule] = list(recipe.rules)
        if recipe.keep:
            chosen.append(_scores(recipe, stack))
        if not chosen and not (recipe.match_length or recipe.diverse):
            raise UsageError("no rule is left: add one with --rule, or drop --no-defaults")
        if explain:
            _explain(job, chosen, explain)
            return
        draws = sampling_for(recipe)
        if verbs:
            from seqit.filter.verbs import counting

            draws.append(counting)
        remarks = _remarks(table or bool(recipe_file))
        resolved = recipe if recipe_file else None
        pool = stack.enter_context(job.workers(workers))
        if job.stage.link:
            from seqit.filter import apply

            def passing(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
                return _drawn(apply(rows, chosen, stats), stats, draws, resolved)

            job.run(passing, remarks=remarks)
        else:
            from seqit.filter.parallel import read_passing

            def drawn(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
                return _drawn(rows, stats, draws, resolved)

            read = partial(read_passing, rules=chosen, workers=pool)
            job.run(drawn, read, remarks=remarks)


def _recipe(
    rules: tuple[str, ...],
    skip: tuple[str, ...],
    no_defaults: bool,
    file: str | None,
    settings: dict[str, Any],
) -> "FilterRecipe":
    """Return what the run does: the recipe's rules or the default ones, and the command line's."""
    from seqit.filter import RULES, default_rules, parse_rule
    from seqit.filter.recipe import FilterRecipe, override, read_recipe, share_memory
    from seqit.records.validation import did_you_mean

    for name in skip:
        if name not in RULES:
            hint = did_you_mean(name, RULES)
            raise UsageError(f"--skip: there is no rule {name!r}{hint}; see --list")
    if file:
        recipe = read_recipe(Path(file).read_bytes(), file)
    else:
        recipe = FilterRecipe(() if no_defaults else tuple(default_rules()))
    chosen = override(recipe.rules, [parse_rule(text) for text in rules], skip)
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    recipe = dataclasses.replace(recipe, rules=tuple(chosen), **given)
    if recipe.memory:
        shared = share_memory(recipe.rules, recipe.memory)
        recipe = dataclasses.replace(recipe, rules=tuple(shared))
    if recipe.keep and not recipe.scores:
        raise UsageError("--keep looks at scores: name their files with --scores")
    if recipe.scores and not recipe.keep:
        raise UsageError("--scores is for --keep, which says what the scores shall be")
    if recipe.embeddings and not recipe.diverse:
        raise UsageError("--embeddings is for --diverse; give both")
    if recipe.tokenizer and not recipe.match_length:
        raise UsageError("--tokenizer measures for --match-length; give both")
    return recipe


def _scores(recipe: "FilterRecipe", stack: contextlib.ExitStack) -> "Rule":
    from seqit.filter.rules.scored import Scores
    from seqit.scores.db.score_filter import ScoreFilter
    from seqit.stores.sources import check_sources

    assert recipe.keep is not None
    scored = stack.enter_context(ScoreFilter(recipe.keep, check_sources(recipe.scores)))
    return Scores(recipe.keep, scored.find)


def _explain(job: Job, rules: "list[Rule]", wanted: str) -> None:
    """Print the fate of one row on standard output; unreadable rows are told of and passed over."""
    from seqit.filter.explain import fates, lines
    from seqit.records.run_stats import RunStats

    stats = RunStats("filter")
    for fate in fates(job.read_records(job.check(), stats), rules, wanted):
        for line in lines(fate):
            click.echo(line)
    if stats.failed and not job.quiet:
        say(job.context, f"{stats.failed:,} rows could not be read, and were passed over")


def _drawn(
    rows: Iterator["Row"], stats: "RunStats", draws: list[Sampling], recipe: "FilterRecipe | None"
) -> Iterator["Row"]:
    from seqit.filter.recipe import as_document

    if recipe:
        stats.results["recipe"] = as_document(recipe)
    for draw in draws:
        rows = draw(rows, stats)
    return rows


def _remarks(table: bool) -> "Callable[[RunStats], list[str]]":
    """Return what gives the closing lines about rules and draws."""

    def remarks(stats: "RunStats") -> list[str]:
        from seqit.filter import verbs
        from seqit.filter.recipe import table_of
        from seqit.filter.sampling import diverse, match_length

        told = stats.results
        lines = table_of(told["rules"]) if table else []
        if "match_length" in told:
            lines.append(match_length.report_line(told["match_length"]))
        if "diverse" in told:
            lines.append(diverse.report_line(told["diverse"]))
        if "verbs" in told:
            lines += verbs.table_of(told["verbs"])
        return lines

    return remarks


def _listing() -> str:
    from seqit.filter import describe

    lines = []
    for rule in describe():
        lines.append(f"{rule['name']}{'' if rule['default'] else ' (off by default)'}")
        lines.append(f"    {rule['explanation']}")
        for parameter in rule["parameters"]:
            default = "" if parameter["default"] is None else f" [{parameter['default']}]"
            lines.append(f"    {parameter['name']}{default}: {parameter['meaning']}")
    return "\n".join(lines)
