"""seqit respond: a model answers the items of a benchmark, or any records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions, SamplingDefaults, asking_options
from seqit.commands.shell.options import data_options
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.items import Shots
    from seqit.records.readers.rows import Wait
    from seqit.records.run_stats import Row, RunStats

ANSWERING = SamplingDefaults("--model", 0.0, 0.95)
SHOTS = 5
ANSWER = 400
"""Tokens of an answer, for an estimate."""


@click.command("respond", cls=Command, short_help="Have a model answer items.")
@click.option(
    "--model",
    "name",
    metavar="KIND:MODEL",
    required=True,
    help="Who answers: openai:MODEL at any compatible server, vllm:PATH or transformers:PATH in "
    "process, replay:FILE.",
)
@click.option("--label", metavar="TEXT", help="The model's name in tables; default KIND:MODEL.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    default="record",
    show_default=True,
    help="What the sources hold, as in seqit import; auto guesses from the first row.",
)
@click.option(
    "--benchmark", metavar="NAME", help="What the items belong to, where they do not tell."
)
@click.option(
    "--samples",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Answers to each item.",
)
@click.option("--stop", multiple=True, metavar="TEXT", help="Ends an answer; may be repeated.")
@click.option(
    "--shots",
    metavar="FILE",
    help="Examples, records or a file in --format, that go before each item as earlier turns.",
)
@click.option(
    "--shots-count",
    type=click.IntRange(0, 100),
    metavar="N",
    help=f"How many of them, from the first; default {SHOTS}.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every draw.")
@data_options
@asking_options(ANSWERING)
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
    shots_count: int | None,
    seed: int,
    model: ModelOptions,
) -> None:
    """Ask a model each item's instruction, and write its answers with the items.

    The model sees an item as it is exported and trained on: system message, earlier turns,
    images, instruction and input, in its own chat template. Greedy unless --temperature says
    otherwise. An answer that is cut off is an answer; an item without one is rejected.

    \b
        seqit respond --model vllm:out/sit items.jsonl | seqit judge --judge openai:gpt-4o
    """
    if (job.output or "").endswith(".parquet"):
        raise UsageError("respond writes JSONL; Parquet files hold records")
    if shots_count is not None and not shots:
        raise UsageError("--shots-count says how many examples of --shots FILE are shown")
    sampling = replace(model.sampling, stop=stop)
    if samples > 1 and sampling.temperature == 0:
        raise UsageError(
            f"{samples} greedy answers are the same answer; say --temperature, such as 0.8"
        )
    if form != "record" and job.stage.link:
        raise UsageError("--format is for files: the command before hands records on")
    from seqit.records.run_stats import RunStats

    job.check()
    examples = _shots(shots, SHOTS if shots_count is None else shots_count, form)
    read = _reader(job, form)
    if model.given["dry_run"]:
        _estimate(job, read(job.check(), RunStats("respond")), name, model, (samples, examples))
        return
    from seqit.evaluate.respond import closing_lines, respond

    job.asked_each = samples
    with model.open(name, partial(say, job.context)) as (asked, scheduler):
        run = partial(
            respond,
            model=replace(asked, sampling=sampling),
            seed=seed,
            samples=samples,
            label=label or "",
            benchmark=benchmark or "",
            shots=examples,
            training=_training(name, model),
        )
        job.run(run, read, schema="response", scheduler=scheduler, remarks=closing_lines)


def _reader(job: Job, form: str) -> "Callable[..., Iterator[Row]]":
    """Return what reads the items, in whatever format."""
    from seqit.engine.ingest import read_format
    from seqit.records.formats import load

    if form == "record":
        return job.read_records
    if form != "auto":
        load(form)  # an unknown name is said before anything is opened

    def tell(text: str) -> None:
        if not job.quiet:
            say(job.context, text)

    def read(
        names: Sequence[str], stats: "RunStats", before_read: "Wait | None" = None
    ) -> "Iterator[Row]":
        return read_format(names, stats, before_read, form=form, say=tell)

    return read


def _shots(file: str | None, count: int, form: str) -> "Shots | None":
    """Read the first examples of a file; raises SeqitError where it holds others."""
    if not file:
        return None
    from itertools import islice

    from seqit.engine.ingest import read_format
    from seqit.errors import SeqitError
    from seqit.evaluate.items import Shots
    from seqit.records.readers.rows import read_records
    from seqit.records.run_stats import RunStats, StrictError
    from seqit.stores.sources import check_sources

    stats = RunStats("respond", strict=True)
    names = check_sources((file,))
    rows = read_records(names, stats) if form == "record" else read_format(names, stats, form=form)
    try:
        # One more than is shown: an example that is the item itself gives way to it.
        return Shots([row.value for row in islice(rows, count + 1)], count)
    except StrictError as error:
        raise SeqitError(f"--shots: {error}") from None


def _training(name: str, model: ModelOptions) -> str:
    """Return the hash of the record that a training run left with the model, if it did."""
    from seqit.evaluate.items import training_of

    kind, _, path = name.partition(":")
    if kind not in ("vllm", "transformers"):
        return ""
    adapters = [text.partition("=")[2] for text in model.given["engine"] if text[:5] == "lora="]
    return training_of(map(str.strip, (*adapters, path)))


def _estimate(
    job: Job,
    items: "Iterator[Row]",
    name: str,
    model: ModelOptions,
    wanted: "tuple[int, Shots | None]",
) -> None:
    """Print what the answers would take."""
    from seqit.commands.shell.estimate import StageTotal, tell_estimate, tokens_of
    from seqit.evaluate.items import asked_of

    samples, shots = wanted
    rows, text = 0, 0.0
    for row in items:
        rows += 1
        text += tokens_of(asked_of(row.value, shots))
    asked = rows * samples
    tell_estimate(
        job, rows, name, model, [StageTotal("respond", asked, text * samples, asked * ANSWER)]
    )
