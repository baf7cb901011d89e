"""seqit train: fine-tunes a model on rows; the plan comes before the run."""

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
from seqit.commands.shell.progress import track
from seqit.commands.shell.run_report import RejectWriter
from seqit.errors import SeqitError, UsageError

if TYPE_CHECKING:
    from seqit.records.run_stats import Row, RunStats
    from seqit.train.data.chat_encoder import Encoder
    from seqit.train.plan import TrainPlan
    from seqit.train.recipe import Lora, TrainRecipe

SOME_ROWS_FAILED = 3
TOKENS = "tokens"
"""The folder in the run's folder for prepared rows."""


@click.command("train", cls=Command, short_help="Fine-tune a model on rows.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--data", multiple=True, metavar="FILE", help="A SOURCE, too; may be given again.")
@click.option("--model", metavar="PATH", help="The model: a folder, or a name on the hub.")
@click.option("--revision", metavar="NAME", help="Of a model on the hub.")
@click.option(
    "-o", "--out", metavar="DIR", help="The folder of the run, which becomes the model's."
)
@click.option(
    "--template",
    metavar="FILE",
    help="A chat template in place of the model's own; saved with the model.",
)
@click.option("--recipe", "recipe_file", metavar="FILE", help="Read all of this from YAML.")
@click.option("--dry-run", is_flag=True, help="Print the plan on standard output, and stop.")
@click.option(
    "--show-mask",
    metavar="ID",
    help="Print a row as it is trained on, by its id or its number (1: the first), and stop.",
)
@click.option(
    "--print-launch", is_flag=True, help="Print the commands that start the ranks, and stop."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the newest whole checkpoint in DIR; without a SOURCE, with the run's rows.",
)
@click.option(
    "--skip-failed",
    is_flag=True,
    help="Train without the rows that failed; else they end the run before it begins.",
)
@click.option("--rejects", metavar="FILE", help="Keep every row not trained on, with the reason.")
@click.option("--manifest", metavar="FILE", help="Write the account of the rows as JSON.")
@click.option("--strict", is_flag=True, help="Stop at the first row that fails.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no plan.")
@recipe_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Fine-tune a causal or vision-language model on SOURCEs of records.

    The plan is printed first: what each row comes to under the model's chat template, with the
    loss on the assistant's tokens alone. DIR then holds the prepared rows, the checkpoints,
    metrics.jsonl and, at the end, the model. The defaults are the paper's (arXiv 2403.07794).

    \b
    seqit train sit.parquet --model PATH --out DIR --dry-run     what would be done
    seqit train --recipe sit-8b.yaml --ranks 8                   eight GPUs of this machine
    seqit train --out DIR --resume                               after a crash
    """
    from seqit.llm.providers.local.model_files import installed_version

    recipe = _recipe(options)
    looks = options["dry_run"] or options["show_mask"] is not None
    recipe.check(needs_out=not looks)
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    if not looks:
        _check_out(recipe)
        if recipe.lora and not options["print_launch"]:
            _check_lora(recipe.lora)
    with _parent(recipe, looks) as parent:
        run = _Prepared(ctx, recipe, parent, options)
        if options["show_mask"] is not None:
            run.show_mask(options["show_mask"])
            return
        plan = run.plan()
        if options["dry_run"]:
            sys.exit(SOME_ROWS_FAILED if plan.counts["failed"] else 0)
        _train(ctx, run.recipe, plan, options)


class _Prepared:
    """A run whose rows are prepared."""

    def __init__(
        self, ctx: click.Context, recipe: "TrainRecipe", parent: Path, options: dict[str, Any]
    ) -> None:
        from seqit.train.data.encoder import encoder_of, resolve_model
        from seqit.train.data.prepare import prepare, with_files

        self._ctx = ctx
        self._options = options
        recipe = resolve_model(recipe)
        self._encoder: Encoder = encoder_of(recipe)
        if recipe.tokens and recipe.resume and not (options["sources"] or options["data"]):
            # By name: the run's folder may have been moved.
            self._folder = Path(recipe.out) / TOKENS / Path(recipe.tokens).name
        else:
            recipe = with_files(recipe, parent)
            self._folder = prepare(recipe, self._encoder, parent, self._stats, self._watched)
        self.recipe = dataclasses.replace(recipe, tokens=str(self._folder.absolute()))
        self._keep_stats()

    def plan(self) -> "TrainPlan":
        """Print the plan and return it; raises SeqitError where no row is left."""
        from seqit.train.data.encoder import settings_folder
        from seqit.train.model.memory_estimate import size_of
        from seqit.train.plan import make_plan, place_of

        place = place_of(self.recipe)
        size = size_of(self.recipe, settings_folder(self.recipe))
        plan = make_plan(self.recipe, self._folder, place.ranks, size, place.has_gpu)
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
        """Print one row as it is trained on; raises SeqitError where there is no such row."""
        from seqit.train.data.dataset import PreparedDataset

        prepared = PreparedDataset.open(self._folder)
        number = prepared.find(row)
        if number is None and row.isdecimal() and 0 < int(row) <= len(prepared):
            number = int(row) - 1
        if number is None:
            raise SeqitError(f"no row that is trained on has an id that begins with {row!r}")
        for line in mask_lines(prepared.example(number), self._encoder):
            click.echo(line)

    def _stats(self, rejects: IO[bytes]) -> "RunStats":
        from seqit.records.run_stats import RunStats

        return RunStats("train", RejectWriter(self._ctx, rejects), self._options["strict"])

    def _watched(self, rows: "Iterator[Row]") -> "Iterator[Row]":
        watched = sys.stderr.isatty() and not self._options["quiet"]
        return track(rows, "train") if watched else rows

    def _keep_stats(self) -> None:
        """Write what --rejects and --manifest ask for."""
        from seqit.records.validation import schema
        from seqit.records.writers.sink import encode
        from seqit.stores.targets import whole_file
        from seqit.train.data.dataset import REJECTS_FILE, counts_of

        self._counts = counts_of(self._folder)
        if target := self._options["rejects"]:
            with whole_file(target) as file, (self._folder / REJECTS_FILE).open("rb") as kept:
                shutil.copyfileobj(kept, file)
        if target := self._options["manifest"]:
            check = schema("manifest")
            known = check.document["properties"]
            given = {k.replace("__", "."): v for k, v in self._options.items() if was_given(v)}
            told = {key: value for key, value in self._counts.items() if key in known}
            told |= {"version": __version__, "options": given, "complete": True}
            told["sources"] = [*self.recipe.data.sources, *self.recipe.data.eval]
            with whole_file(target) as file:
                file.write(encode(told, check) + b"\n")


def _recipe(options: dict[str, Any]) -> "TrainRecipe":
    """Return the recipe: of the file, or of the run that goes on, with the command line over it."""
    from seqit.train.recipe import RUN_FILE, TrainRecipe, read_recipe

    file, out = options["recipe_file"], options["out"]
    run = Path(out) / RUN_FILE if out else None
    if options["resume"] and not file and run and run.is_file():
        file = str(run)
    recipe = read_recipe(Path(file).read_bytes(), file) if file else TrainRecipe()
    names = ("model", "revision", "out", "template")
    given = {name: options[name] for name in names if options[name]}
    recipe = apply_options(dataclasses.replace(recipe, **given, resume=options["resume"]), options)
    if sources := options["sources"] + options["data"]:
        data = dataclasses.replace(recipe.data, sources=sources)
        recipe = dataclasses.replace(recipe, data=data)
    return recipe


def _check_out(recipe: "TrainRecipe") -> None:
    """Raise UsageError where the folder holds a run that would be mixed up with this one."""
    from seqit.train.loop.checkpoints import FOLDER
    from seqit.train.recipe import PROVENANCE_FILE

    out = Path(recipe.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if not recipe.resume and any((out / name).exists() for name in (FOLDER, PROVENANCE_FILE)):
        raise UsageError(f"{out} holds a run already; --resume goes on with it, or name another")


def _check_lora(lora: "Lora") -> None:
    """Raise UsageError where the adapters cannot be trained on this machine."""
    from seqit.train.libraries import has_gpu
    from seqit.train.model.lora import check_lora

    check_lora(lora, has_gpu=has_gpu())


@contextlib.contextmanager
def _parent(recipe: "TrainRecipe", looks: bool) -> Iterator[Path]:
    """Give the folder for prepared rows: the run's, or one that goes where nothing is trained."""
    if looks:
        with tempfile.TemporaryDirectory(prefix="seqit-train-") as folder:
            yield Path(folder)
    else:
        yield Path(recipe.out) / TOKENS


def _train(
    ctx: click.Context, recipe: "TrainRecipe", plan: "TrainPlan", options: dict[str, Any]
) -> None:
    """Write the run's file, and train; exits with 3 where rows were left out as failed."""
    import orjson

    from seqit.stores.targets import whole_file
    from seqit.train.recipe import RUN_FILE

    failed = plan.counts["failed"]
    if failed and not options["skip_failed"]:
        raise SeqitError(
            f"{failed:,} rows failed, so nothing is trained; mend them (--rejects FILE keeps "
            "them), or leave them out with --skip-failed"
        )
    with whole_file(str(Path(recipe.out) / RUN_FILE)) as file:
        file.write(orjson.dumps(recipe.to_dict(), option=orjson.OPT_INDENT_2))
    from seqit.train.launch.launcher import train
    from seqit.train.launch.nodes import commands

    if options["print_launch"]:
        for line in commands(recipe):
            click.echo(line)
        return
    train(recipe)
    if failed:
        sys.exit(SOME_ROWS_FAILED)


def _summary(counts: dict[str, Any]) -> str:
    reasons = [item for found in counts["reasons"].values() for item in found.items()]
    reasons.sort(key=lambda item: -item[1])
    why = ", ".join(f"{reason} {number:,}" for reason, number in reasons)
    return f"{counts['read']:,} were read ({why or 'the source is empty'})"
