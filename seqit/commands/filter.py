"""seqit filter: keep the rows that no rule rejects, or a sample of them."""

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
from seqit.commands.shell.options import data_options, list_option, workers_option
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.filter.recipe import FilterRecipe
    from seqit.filter.rule import Rule
    from seqit.records.run_stats import Row, RunStats

SAMPLING = partial(click.option, cls=SectionOption, section="Sampling from the rows that pass")
SCORES = partial(click.option, cls=SectionOption, section="Scores")


def _list_rules() -> str:
    from seqit.filter import describe

    lines = []
    for rule in describe():
        lines.append(f"{rule['name']}{'' if rule['default'] else ' (off by default)'}")
        lines.append(f"    {rule['explanation']}")
        for parameter in rule["parameters"]:
            default = "" if parameter["default"] is None else f" [{parameter['default']}]"
            lines.append(f"    {parameter['name']}{default}: {parameter['meaning']}")
    return "\n".join(lines)


@click.command("filter", cls=Command, short_help="Keep the rows that no rule rejects.")
@click.option(
    "-r",
    "--rule",
    "rules",
    metavar="NAME[:P=V,…]",
    multiple=True,
    help="Add a rule, or change its parameters: length:field=output,max_words=512.",
)
@click.option("--without", metavar="NAME", multiple=True, help="Remove a rule of the default set.")
@click.option("--no-defaults", is_flag=True, help="Only the rules given with --rule.")
@list_option(_list_rules, "Explain the rules and their parameters.")
@click.option(
    "--recipe",
    "recipe_file",
    metavar="FILE",
    help="Read rules and options from YAML; implies --rule-stats and --no-defaults.",
)
@click.option(
    "--rule-stats", is_flag=True, help="Print how many rows each rule checked and removed."
)
@click.option(
    "--verbs",
    is_flag=True,
    help="Print what the written rows ask for: root verbs and their objects, in English.",
)
@click.option(
    "--explain",
    metavar="ID",
    help="Write no rows: print the result of every rule for the row with this id or id prefix.",
)
@SCORES(
    "--keep",
    metavar="EXPRESSION",
    help="Keep rows whose scores satisfy this SQL expression: "
    '"quality >= 4 AND following = 1". Rows without scores are rejected with their own reason.',
)
@SCORES(
    "--scores",
    metavar="FILE",
    multiple=True,
    help="Rows of scores: id, metric (or name) and value, or id and one column per score; "
    "repeatable.",
)
@SAMPLING(
    "--match-length",
    metavar="FILE",
    help="Sample rows whose output lengths are distributed like those of FILE.",
)
@SAMPLING(
    "--tokenizer",
    metavar="FILE",
    help="Measure the length in tokens of this tokenizer.json, not in words.",
)
@SAMPLING(
    "--diverse",
    type=click.IntRange(1),
    metavar="N",
    help="Sample N rows whose tasks differ from one another as much as possible.",
)
@SAMPLING(
    "--embeddings",
    metavar="DIR",
    help="Compare tasks by this sentence-embedding model, not by their words.",
)
@SAMPLING("--seed", type=int, help="Decides the sample; default 0.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="Total memory of the rules that remember rows, such as 400MB; the rest goes to a "
    "temporary file. Default: 400MB each.",
)
@workers_option
@data_options
def command(
    job: Job,
    *,
    rules: tuple[str, ...],
    without: tuple[str, ...],
    no_defaults: bool,
    recipe_file: str | None,
    rule_stats: bool,
    verbs: bool,
    explain: str | None,
    workers: int | None,
    **settings: Any,
) -> None:
    """Write the rows that pass every rule, byte for byte unchanged unless a rule masks text.

    A rejected row is counted under its rule; --rejects keeps it with the evidence.
    """
    recipe = _load_recipe(rules, without, no_defaults, recipe_file, settings)
    with contextlib.ExitStack() as stack:
        active: list[Rule] = list(recipe.rules)
        if recipe.keep:
            active.append(_score_rule(recipe, stack))
        if not active and not (recipe.match_length or recipe.diverse):
            raise UsageError("no rule is left: add one with --rule, or drop --no-defaults")
        if explain:
            _explain(job, active, explain)
            return
        samplings = sampling_for(recipe)
        if verbs:
            from seqit.filter.verbs import count_verbs

            samplings.append(count_verbs)
        summary_lines = _summary_lines(rule_stats or bool(recipe_file))
        resolved = recipe if recipe_file else None
        pool = stack.enter_context(job.workers(workers))
        if job.slot.link:
            from seqit.filter import apply

            def filter_and_sample(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
                return _sample(apply(rows, active, stats), stats, samplings, resolved)

            job.run(filter_and_sample, summary_lines=summary_lines)
        else:
            from seqit.filter.parallel import read_passing

            def sample(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
                return _sample(rows, stats, samplings, resolved)

            read = partial(read_passing, rules=active, workers=pool)
            job.run(sample, read, summary_lines=summary_lines)


def _load_recipe(
    rules: tuple[str, ...],
    without: tuple[str, ...],
    no_defaults: bool,
    file: str | None,
    settings: dict[str, Any],
) -> "FilterRecipe":
    """Return the rules and options of the run: the recipe's, overridden by the command line."""
    from seqit.filter import RULES, default_rules, parse_rule
    from seqit.filter.recipe import FilterRecipe, override, read_recipe, split_memory
    from seqit.records.validation import did_you_mean

    for name in without:
        if name not in RULES:
            hint = did_you_mean(name, RULES)
            raise UsageError(f"--without: there is no rule {name!r}{hint}; see --list")
    if file:
        recipe = read_recipe(Path(file).read_bytes(), file)
    else:
        recipe = FilterRecipe(() if no_defaults else tuple(default_rules()))
    overridden = override(recipe.rules, [parse_rule(text) for text in rules], without)
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    recipe = dataclasses.replace(recipe, rules=tuple(overridden), **given)
    if recipe.memory:
        shared = split_memory(recipe.rules, recipe.memory)
        recipe = dataclasses.replace(recipe, rules=tuple(shared))
    if recipe.keep and not recipe.scores:
        raise UsageError("--keep needs scores: name their files with --scores")
    if recipe.scores and not recipe.keep:
        raise UsageError("--scores is for --keep, the condition on the scores; give both")
    if recipe.embeddings and not recipe.diverse:
        raise UsageError("--embeddings is for --diverse; give both")
    if recipe.tokenizer and not recipe.match_length:
        raise UsageError("--tokenizer is for --match-length; give both")
    return recipe


def _score_rule(recipe: "FilterRecipe", stack: contextlib.ExitStack) -> "Rule":
    from seqit.filter.rules.scored import ScoreRule
    from seqit.scores.db.score_filter import ScoreFilter
    from seqit.stores.sources import check_sources

    assert recipe.keep is not None
    scored = stack.enter_context(ScoreFilter(recipe.keep, check_sources(recipe.scores)))
    return ScoreRule(recipe.keep, scored.find)


def _explain(job: Job, rules: "list[Rule]", wanted: str) -> None:
    """Print the result of every rule for one row; unreadable rows are skipped and counted."""
    from seqit.filter.explain import explain_rows, format_explanation
    from seqit.records.run_stats import RunStats

    stats = RunStats("filter")
    for explanation in explain_rows(job.read_records(job.check(), stats), rules, wanted):
        for line in format_explanation(explanation):
            click.echo(line)
    if stats.failed and not job.quiet:
        say(job.context, f"{stats.failed:,} rows could not be read and were skipped")


def _sample(
    rows: Iterator["Row"],
    stats: "RunStats",
    samplings: list[Sampling],
    recipe: "FilterRecipe | None",
) -> Iterator["Row"]:
    from seqit.filter.recipe import as_document

    if recipe:
        stats.results["recipe"] = as_document(recipe)
    for sampling in samplings:
        rows = sampling(rows, stats)
    return rows


def _summary_lines(rule_stats: bool) -> "Callable[[RunStats], list[str]]":
    """Return a function that renders the closing lines about rules and samples."""

    def summary_lines(stats: "RunStats") -> list[str]:
        from seqit.filter import verbs
        from seqit.filter.recipe import rule_table
        from seqit.filter.sampling import diverse, match_length

        results = stats.results
        lines = rule_table(results["rules"]) if rule_stats else []
        if "match_length" in results:
            lines.append(match_length.report_line(results["match_length"]))
        if "diverse" in results:
            lines.append(diverse.report_line(results["diverse"]))
        if "verbs" in results:
            lines += verbs.verb_table(results["verbs"])
        return lines

    return summary_lines
