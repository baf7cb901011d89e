"""seqit respond: generate a model's answers to the items of a benchmark, or to any records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions, SamplingDefaults, model_options_with
from seqit.commands.shell.options import data_options
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.items import FewShotExamples
    from seqit.records.readers.rows import BeforeRead
    from seqit.records.run_stats import Row, RunStats

SAMPLING_DEFAULTS = SamplingDefaults("--model", 0.0, 0.95)
DEFAULT_FEWSHOT = 5
ANSWER_TOKENS = 400
"""Tokens of an answer, for an estimate."""


@click.command("respond", cls=Command, short_help="Generate a model's answers to items.")
@click.option(
    "--model",
    "name",
    metavar="KIND:MODEL",
    required=True,
    help="The model: openai:MODEL at any compatible server, vllm:PATH or transformers:PATH in "
    "process, replay:FILE.",
)
@click.option("--label", metavar="NAME", help="The model's name in tables; default KIND:MODEL.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    default="record",
    show_default=True,
    help="The format of the sources, as in seqit import; auto guesses from the first row.",
)
@click.option(
    "--benchmark", metavar="NAME", help="The benchmark of the items, if they do not name it."
)
@click.option(
    "--samples",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Answers per item.",
)
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="A string that ends an answer; repeatable."
)
@click.option(
    "--shots",
    metavar="FILE",
    help="Examples (records, or rows in --format) that precede each item as earlier turns.",
)
@click.option(
    "--num-fewshot",
    type=click.IntRange(0, 100),
    metavar="N",
    help=f"How many of the examples, from the first; default {DEFAULT_FEWSHOT}.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides all random choices.")
@data_options
@model_options_with(SAMPLING_DEFAULTS)
def command(
    job: Job,
    *,
    name: str,
    label: str | None,
    form: str,
    benchmark: str | None,
    samples: int,
    stop: tuple[str, ...],
    shots: str | None,
    num_fewshot: int | None,
    seed: int,
    model: ModelOptions,
) -> None:
    """Generate a model's answer to each item, and write the answers with the items.

    The prompt is the same as in training: system message, earlier turns, images, instruction
    and input, in the model's chat template. Greedy unless --temperature is given. A truncated
    answer counts as an answer; an item without an answer is rejected.

    \b
        seqit respond --model vllm:out/sit items.jsonl | seqit judge --judge openai:gpt-4o
    """
    if (job.output or "").endswith(".parquet"):
        raise UsageError("respond writes JSONL; Parquet files hold records")
    if num_fewshot is not None and not shots:
        raise UsageError("--num-fewshot is the number of examples of --shots FILE; give both")
    sampling = replace(model.sampling, stop=stop)
    if samples > 1 and sampling.temperature == 0:
        raise UsageError(
            f"{samples} greedy answers are the same answer; give a --temperature, such as 0.8"
        )
    if form != "record" and job.slot.link:
        raise UsageError("--format is for files: the previous command passes records on")
    from seqit.records.run_stats import RunStats

    job.check()
    count = DEFAULT_FEWSHOT if num_fewshot is None else num_fewshot
    examples = _load_examples(shots, count, form)
    read = _reader(job, form)
    if model.given["dry_run"]:
        items = read(job.check(), RunStats("respond"))
        _estimate(job, items, name, model, samples=samples, examples=examples)
        return
    from seqit.evaluate.respond import respond, summary_lines

    job.items_per_row = samples
    with model.open(name, partial(say, job.context)) as (client, scheduler):
        run = partial(
            respond,
            model=replace(client, sampling=sampling),
            seed=seed,
            samples=samples,
            label=label or "",
            benchmark=benchmark or "",
            shots=examples,
            training=_training(name, model),
        )
        job.run(run, read, schema="response", scheduler=scheduler, summary_lines=summary_lines)


def _reader(job: Job, form: str) -> "Callable[..., Iterator[Row]]":
    """Return the function that reads the items in their format."""
    from seqit.engine.ingest import read_format
    from seqit.records.formats import load_format

    if form == "record":
        return job.read_records
    if form != "auto":
        load_format(form)  # raises for an unknown name, before any file is opened

    def notify(message: str) -> None:
        if not job.quiet:
            say(job.context, message)

    def read(
        names: Sequence[str], stats: "RunStats", before_read: "BeforeRead | None" = None
    ) -> "Iterator[Row]":
        return read_format(names, stats, before_read, format_name=form, notify=notify)

    return read


def _load_examples(file: str | None, count: int, form: str) -> "FewShotExamples | None":
    """Read the first examples of a file; raises SeqitError if one of these rows is invalid."""
    if not file:
        return None
    from itertools import islice

    from seqit.engine.ingest import read_format
    from seqit.errors import SeqitError
    from seqit.evaluate.items import FewShotExamples
    from seqit.records.readers.rows import read_records
    from seqit.records.run_stats import RunStats, StrictError
    from seqit.stores.sources import check_sources

    stats = RunStats("respond", strict=True)
    names = check_sources((file,))
    rows = (
        read_records(names, stats)
        if form == "record"
        else read_format(names, stats, format_name=form)
    )
    try:
        # One more than needed: it replaces an example that is the item itself.
        return FewShotExamples([row.value for row in islice(rows, count + 1)], count)
    except StrictError as error:
        raise SeqitError(f"--shots: {error}") from None


def _training(name: str, model: ModelOptions) -> str:
    """Return the hash of the provenance file in the model's folder; "" if there is none."""
    from seqit.evaluate.items import training_hash

    kind, _, path = name.partition(":")
    if kind not in ("vllm", "transformers"):
        return ""
    adapters = [text.partition("=")[2] for text in model.given["engine_arg"] if text[:5] == "lora="]
    return training_hash(map(str.strip, (*adapters, path)))


def _estimate(
    job: Job,
    items: "Iterator[Row]",
    name: str,
    model: ModelOptions,
    *,
    samples: int,
    examples: "FewShotExamples | None",
) -> None:
    """Print an estimate of the run."""
    from seqit.commands.shell.estimate import StageTotal, estimate_tokens, print_estimate
    from seqit.evaluate.items import item_chat

    rows, prompt_tokens = 0, 0.0
    for row in items:
        rows += 1
        prompt_tokens += estimate_tokens(item_chat(row.value, examples))
    requests = rows * samples
    total = StageTotal("respond", requests, prompt_tokens * samples, requests * ANSWER_TOKENS)
    print_estimate(job, rows, name, model, [total])
