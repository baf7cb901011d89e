"""seqit train: print the plan of a training run, and fine-tune a model on rows."""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from seqit import __version__
from seqit.commands._train_options import apply_options, recipe_options
from seqit.commands._train_plan_view import mask_lines, plan_lines
from seqit.commands.shell.command import Command, say, was_given
from seqit.commands.shell.job import SOME_ROWS_FAILED
from seqit.commands.shell.progress import track
from seqit.commands.shell.run_report import RejectWriter, schema_versions
from seqit.errors import SeqitError, UsageError

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats
    from seqit.train.data.chat_encoder import Encoder
    from seqit.train.plan import TrainPlan
    from seqit.train.recipe import Lora, TrainRecipe

TOKENS_FOLDER = "tokens"
"""The folder of prepared rows, in the run's folder."""


@click.command("train", cls=Command, short_help="Fine-tune a model on rows.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--data", multiple=True, metavar="FILE", help="Another SOURCE; repeatable.")
@click.option("--model", metavar="PATH", help="The model: a folder, or a name on the hub.")
@click.option("--revision", metavar="NAME", help="The revision of a model on the hub.")
@click.option(
    "-o", "--output", metavar="DIR", help="The folder of the run and of the trained model."
)
@click.option(
    "--template",
    metavar="FILE",
    help="A chat template that replaces the model's own; saved with the model.",
)
@click.option("--recipe", "recipe_file", metavar="FILE", help="Read all of this from YAML.")
@click.option("--dry-run", is_flag=True, help="Print the plan on standard output; train nothing.")
@click.option(
    "--show-mask",
    metavar="ID",
    help="Print a row with its loss mask, by its id or its number (1: the first); train nothing.",
)
@click.option(
    "--print-launch", is_flag=True, help="Print the commands that start the ranks; train nothing."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Resume from the newest complete checkpoint in DIR; without a SOURCE, with its rows.",
)
@click.option(
    "--skip-failed",
    is_flag=True,
    help="Train without the rows that failed; otherwise they stop the run before it starts.",
)
@click.option("--rejects", metavar="FILE", help="Keep every row not trained on, with the reason.")
@click.option("--manifest", metavar="FILE", help="Write the statistics of the rows as JSON.")
@click.option("--strict", is_flag=True, help="Stop at the first row that fails.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no plan.")
@recipe_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Fine-tune a causal or vision-language model on SOURCEs of records.

    The plan is printed first: rows, tokens, steps and memory. Rows are encoded with the model's
    chat template; the loss is on the assistant's tokens alone. DIR will contain the prepared
    rows, the checkpoints, metrics.jsonl and, at the end, the model. The defaults are the paper's
    (arXiv 2403.07794).

    \b
    seqit train sit.parquet --model PATH --output DIR --dry-run  print the plan
    seqit train --recipe sit-8b.yaml --ranks 8                   on eight GPUs of this machine
    seqit train --output DIR --resume                            after a crash
    """
    from seqit.llm.providers.local.libraries import installed_version

    recipe = _load_recipe(options)
    is_preview = options["dry_run"] or options["show_mask"] is not None
    recipe.check(needs_output=not is_preview)
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    if not is_preview:
        _check_output(recipe)
        if recipe.lora and not options["print_launch"]:
            _check_lora(recipe.lora)
    with _tokens_parent(recipe, is_preview) as parent:
        run = _PreparedRun(ctx, recipe, parent, options)
        if options["show_mask"] is not None:
            run.show_mask(options["show_mask"])
            return
        plan = run.plan()
        if options["dry_run"]:
            sys.exit(SOME_ROWS_FAILED if plan.counts["failed"] else 0)
        _train(ctx, run.recipe, plan, options)


class _PreparedRun:
    """A run whose rows are encoded and on disk."""

    def __init__(
        self, ctx: click.Context, recipe: "TrainRecipe", parent: Path, options: dict[str, Any]
    ) -> None:
        from seqit.train.data.encoder import encoder_for, resolve_recipe
        from seqit.train.data.prepare import prepare, save_stdin

        self._ctx = ctx
        self._options = options
        recipe = resolve_recipe(recipe)
        self._encoder: Encoder = encoder_for(recipe)
        if recipe.tokens and recipe.resume and not (options["sources"] or options["data"]):
            # Located by name: the run's folder may have been moved.
            self._folder = Path(recipe.output) / TOKENS_FOLDER / Path(recipe.tokens).name
        else:
            recipe = save_stdin(recipe, parent)
            self._folder = prepare(
                recipe, self._encoder, parent, self._new_stats, self._with_progress
            )
        self.recipe = dataclasses.replace(recipe, tokens=str(self._folder.absolute()))
        self._write_stats()

    def plan(self) -> "TrainPlan":
        """Print the plan and return it; raises SeqitError if no row is left."""
        from seqit.train.data.encoder import fetch_model_settings
        from seqit.train.model.memory_estimate import model_size
        from seqit.train.plan import make_plan, run_layout

        layout = run_layout(self.recipe)
        size = model_size(self.recipe, fetch_model_settings(self.recipe))
        plan = make_plan(self.recipe, self._folder, layout.ranks, size, layout.has_gpu)
        if plan is None:
            raise SeqitError(f"no row is left to train on: {_summary(self._counts)}")
        is_first = os.environ.get("RANK", "0") == "0"  # torchrun starts the command on every rank
        for line in plan_lines(plan):
            if self._options["dry_run"]:
                click.echo(line)
            elif is_first and not self._options["quiet"]:
                say(self._ctx, line)
        return plan

    def show_mask(self, row: str) -> None:
        """Print one row with its loss mask; raises SeqitError if there is no such row."""
        from seqit.train.data.dataset import PreparedDataset

        prepared = PreparedDataset.open(self._folder)
        number = prepared.find(row)
        if number is None and row.isdecimal() and 0 < int(row) <= len(prepared):
            number = int(row) - 1
        if number is None:
            raise SeqitError(f"no training row has an id that begins with {row!r}")
        for line in mask_lines(prepared.example(number), self._encoder):
            click.echo(line)

    def _new_stats(self, rejects: IO[bytes]) -> "RunStats":
        from seqit.records.run_stats import RunStats

        return RunStats("train", RejectWriter(self._ctx, rejects), self._options["strict"])

    def _with_progress(self, rows: "Iterator[Row]") -> "Iterator[Row]":
        is_shown = sys.stderr.isatty() and not self._options["quiet"]
        return track(rows, "train") if is_shown else rows

    def _write_stats(self) -> None:
        """Write the files of --rejects and --manifest."""
        from seqit.records.validation import schema
        from seqit.records.writers.sink import encode
        from seqit.stores.targets import atomic_file
        from seqit.train.data.dataset import REJECTS_FILE, load_counts

        self._counts = load_counts(self._folder)
        if target := self._options["rejects"]:
            with atomic_file(target) as file, (self._folder / REJECTS_FILE).open("rb") as rejects:
                shutil.copyfileobj(rejects, file)
        if target := self._options["manifest"]:
            manifest_schema = schema("manifest")
            keys = manifest_schema.document["properties"]
            given = {k.replace("__", "."): v for k, v in self._options.items() if was_given(v)}
            manifest = {key: value for key, value in self._counts.items() if key in keys}
            manifest |= {"version": __version__, "schemas": schema_versions(manifest_schema)}
            manifest |= {"options": given, "complete": True}
            manifest["sources"] = [*self.recipe.data.sources, *self.recipe.data.eval]
            with atomic_file(target) as file:
                file.write(encode(manifest, manifest_schema) + b"\n")


def _load_recipe(options: dict[str, Any]) -> "TrainRecipe":
    """Return the recipe of --recipe or of the run to resume, overridden by the command line."""
    from seqit.train.recipe import RUN_FILE, TrainRecipe, read_recipe

    file, output = options["recipe_file"], options["output"]
    run = Path(output) / RUN_FILE if output else None
    if options["resume"] and not file and run and run.is_file():
        file = str(run)
    recipe = read_recipe(Path(file).read_bytes(), file) if file else TrainRecipe()
    names = ("model", "revision", "output", "template")
    given = {name: options[name] for name in names if options[name]}
    recipe = apply_options(dataclasses.replace(recipe, **given, resume=options["resume"]), options)
    if sources := options["sources"] + options["data"]:
        data = dataclasses.replace(recipe.data, sources=sources)
        recipe = dataclasses.replace(recipe, data=data)
    return recipe


def _check_output(recipe: "TrainRecipe") -> None:
    """Raise UsageError if the folder contains another run."""
    from seqit.train.loop.checkpoints import CHECKPOINTS_FOLDER
    from seqit.train.recipe import PROVENANCE_FILE

    output = Path(recipe.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; name a folder")
    if not recipe.resume and any(
        (output / name).exists() for name in (CHECKPOINTS_FOLDER, PROVENANCE_FILE)
    ):
        raise UsageError(f"{output} contains a run; --resume continues it, or name another folder")


def _check_lora(lora: "Lora") -> None:
    """Raise UsageError if the adapters cannot be trained on this machine."""
    from seqit.train.libraries import has_gpu
    from seqit.train.model.lora import check_lora

    check_lora(lora, has_gpu=has_gpu())


@contextlib.contextmanager
def _tokens_parent(recipe: "TrainRecipe", is_preview: bool) -> Iterator[Path]:
    """Yield the parent folder of prepared rows: in the run's folder, or temporary in a preview."""
    if is_preview:
        with tempfile.TemporaryDirectory(prefix="seqit-train-") as folder:
            yield Path(folder)
    else:
        yield Path(recipe.output) / TOKENS_FOLDER


def _train(
    ctx: click.Context, recipe: "TrainRecipe", plan: "TrainPlan", options: dict[str, Any]
) -> None:
    """Write the run file, and train; exits with 3 if failed rows were left out."""
    import orjson

    from seqit.stores.targets import atomic_file
    from seqit.train.recipe import RUN_FILE

    failed = plan.counts["failed"]
    if failed and not options["skip_failed"]:
        raise SeqitError(
            f"{failed:,} rows failed, so nothing is trained; fix them (--rejects FILE keeps "
            "them), or leave them out with --skip-failed"
        )
    with atomic_file(str(Path(recipe.output) / RUN_FILE)) as file:
        file.write(orjson.dumps(recipe.to_dict(), option=orjson.OPT_INDENT_2))
    from seqit.train.launch.launcher import train
    from seqit.train.launch.nodes import launch_commands

    if options["print_launch"]:
        for line in launch_commands(recipe):
            click.echo(line)
        return
    train(recipe)
    if failed:
        sys.exit(SOME_ROWS_FAILED)


def _summary(counts: dict[str, Any]) -> str:
    reasons = [item for by_reason in counts["reasons"].values() for item in by_reason.items()]
    reasons.sort(key=lambda item: -item[1])
    listed = ", ".join(f"{reason} {number:,}" for reason, number in reasons)
    return f"{counts['read']:,} were read ({listed or 'the source is empty'})"
