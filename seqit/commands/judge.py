"""seqit judge: score responses with language models, reward models or programs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seqit.commands._judge_plan import (
    VOTE_TEMPERATURE,
    JudgePlan,
    build_judges,
    check_plan,
    open_judge,
)
from seqit.commands.shell.command import Command
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions, SamplingDefaults, model_options_with
from seqit.commands.shell.options import data_options, list_option
from seqit.commands.shell.progress import model_summary
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.judges.run import BaselineResponses
    from seqit.records.run_stats import Row, RunStats

SAMPLING_DEFAULTS = SamplingDefaults("--judge", 0.0, 1.0)
METRICS = {
    "quality": "how well the answer does what was asked, 1 to 5",
    "following": "whether the answer attempts every task of the chain, 0 or 1",
    "steps": "each task of the chain by itself, 0 or 1, and whether all are done",
}
DEFAULT_CONTROLS = 5
JUDGEMENT_TOKENS = 150
"""Tokens of a judgement with its reason, for an estimate."""


def _parse_metrics(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",")) if text else ()
    if not names or len(set(names)) < len(names) or not set(names) <= {*METRICS}:
        raise click.BadParameter(f"name some of {', '.join(METRICS)}, each once")
    return names


@click.command("judge", cls=Command, short_help="Score responses with judges.")
@click.option(
    "--judge",
    "names",
    metavar="KIND[:MODEL]",
    multiple=True,
    required=True,
    help="The judge: openai:MODEL, vllm:PATH, transformers:PATH, replay:FILE; builtin verifies "
    "the items' checks without a model; reward:PATH is a reward model. Repeatable.",
)
@click.option(
    "--metrics",
    callback=_parse_metrics,
    default="quality,following",
    show_default=True,
    metavar="NAME,…",
    help=f"What a language model measures: {', '.join(METRICS)} (see --list).",
)
@list_option(
    lambda: "\n".join(f"{name:9}  {text}" for name, text in METRICS.items()), "Show the metrics."
)
@click.option(
    "--against",
    metavar="FILE",
    help="Responses of another model: which of the two is better? Both orders are judged; a "
    "preference that flips is a tie.",
)
@click.option(
    "--votes",
    type=click.IntRange(1, 100),
    metavar="N",
    default=1,
    show_default=True,
    help="Judgements of each judge per question; several are sampled at temperature "
    f"{VOTE_TEMPERATURE:g}.",
)
@click.option("--no-references", is_flag=True, help="Do not show the judge the items' answers.")
@click.option(
    "--weighted",
    is_flag=True,
    help="quality: also the mean weighted by the judge's probabilities, if the backend returns "
    "log probabilities (quality_weighted).",
)
@click.option(
    "--controls",
    type=click.IntRange(0, 10_000),
    metavar="N",
    default=DEFAULT_CONTROLS,
    show_default=True,
    help="Control items of each kind: answers with a known judgement; 0 for none.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides all random choices.")
@data_options
@model_options_with(SAMPLING_DEFAULTS)
def command(
    job: Job,
    *,
    names: tuple[str, ...],
    metrics: tuple[str, ...],
    against: str | None,
    votes: int,
    no_references: bool,
    weighted: bool,
    controls: int,
    seed: int,
    model: ModelOptions,
) -> None:
    """Score responses: one score row for each metric, or for each step or vote.

    A judgement is scored, refused or unparseable. If it cannot be parsed, the judge is asked
    again; if that fails too, the score has no value. Every run contains control items: answers
    with a known judgement (the reference, an empty one, another item's, the reference without
    one step). The closing lines say how often each judge was wrong about them; their scores are
    marked as controls.

    \b
        seqit judge --judge openai:gpt-4o responses.jsonl > scores.jsonl
        seqit judge --judge builtin responses.jsonl | seqit sql 'FROM scores'
    """
    if (job.output or "").endswith(".parquet"):
        raise UsageError("judge writes JSONL; Parquet files hold records")
    plan = JudgePlan(names, metrics, against, votes, weighted, not no_references)
    check_plan(plan, model)
    if model.given["dry_run"]:
        _estimate(job, plan, model)
        return
    from seqit.evaluate.judges.run import JudgeTallies, judge_responses

    job.check()
    job.items_per_row = votes * (1 if against else len(metrics))
    baseline = _baseline(against) if against else None
    tallies = JudgeTallies()
    with contextlib.ExitStack() as stack:
        opened = [open_judge(stack, each, plan, model, job) for each in plan.models]
        judges = build_judges(plan, [client for client, _ in opened], seed)
        schedulers = [scheduler for _, scheduler in opened]
        run = partial(
            judge_responses,
            judges=judges,
            tallies=tallies,
            seed=seed,
            controls=controls,
            baseline=baseline,
        )

        def summary_lines(stats: "RunStats") -> list[str]:
            lines = tallies.summary_lines()
            if baseline and baseline.unmatched:
                lines.append(f"{baseline.unmatched:,} responses of {against} matched no response")
            earlier = zip(plan.models, schedulers[:-1], strict=False)
            return [*lines, *(f"{judge}: {model_summary(s.progress)}" for judge, s in earlier)]

        job.run(
            run,
            _reader(job),
            schema="score",
            scheduler=schedulers[-1] if schedulers else None,
            summary_lines=summary_lines,
        )


def _reader(job: Job) -> "Callable[..., Iterator[Row]]":
    """Return the function that reads responses; other rows fail."""
    from seqit.records.readers.rows import filter_valid

    def read(names: Sequence[str], stats: "RunStats", before_read: Any) -> "Iterator[Row]":
        return filter_valid(job.read_rows(names, stats, before_read), stats, "response")

    return read


def _baseline(file: str) -> "BaselineResponses":
    """Read the other model's responses; raises SeqitError if the file contains other rows."""
    from seqit.errors import SeqitError
    from seqit.evaluate.judges.run import BaselineResponses
    from seqit.records.readers.rows import filter_valid, read_rows
    from seqit.records.run_stats import RunStats, StrictError
    from seqit.stores.sources import check_sources

    stats = RunStats("judge", strict=True)
    rows = filter_valid(read_rows(check_sources((file,)), stats), stats, "response")
    try:
        return BaselineResponses(file, (row.value for row in rows))
    except StrictError as error:
        raise SeqitError(f"--against: {error}") from None


def _estimate(job: Job, plan: JudgePlan, model: ModelOptions) -> None:
    """Print an estimate for each judge."""
    from seqit.commands.shell.estimate import StageTotal, print_estimate
    from seqit.evaluate.judges.prompt import load_prompt
    from seqit.llm.scheduling.budget import CHARACTERS_PER_TOKEN
    from seqit.records.run_stats import RunStats

    rows = characters = 0
    for row in _reader(job)(job.check(), RunStats("judge"), None):
        rows += 1
        item = row.value["item"]
        texts = (item["instruction"], item["input"], item["output"], row.value["output"])
        characters += sum(map(len, texts))
    for name in plan.models:
        totals: list[StageTotal] = []
        for stage in ["pairwise"] if plan.against else plan.metrics:
            times = plan.votes * (2 if plan.against else 1)
            prompt = load_prompt(stage)
            size = rows * (len(prompt.task) + len(prompt.question)) + characters
            tokens = times * size / CHARACTERS_PER_TOKEN
            totals.append(StageTotal(stage, times * rows, tokens, times * rows * JUDGEMENT_TOKENS))
        print_estimate(job, rows, name, model, totals)
