"""seqit augment: instructions become chains of instructions."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import click

from seqit.commands.shell.command import Command, say, was_given, was_typed
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions, model_options
from seqit.commands.shell.options import data_options
from seqit.errors import UsageError

MODULES = {
    "seq-instruct": "seq_instruct.method",
    "translate": "translate.method",
    "caption": "caption.method",
    "repeat": "placebo",
    "paraphrase": "paraphrase",
    "separate": "separate",
    "regenerate": "regenerate",
    "evol-instruct": "evol_instruct.method",
    "seqeval": "seqeval",
}
OPTIONS = {
    "seq-instruct": (
        *("teacher", "iterations", "shares", "steps", "extract", "no_refine", "until"),
        *("thaw", "parser"),
    ),
    "translate": (
        *("teacher", "languages", "into", "row_language", "variant", "content", "answer"),
        *("per_row", "share", "others"),
    ),
    "caption": ("teacher", "variant", "captions", "others"),
    "repeat": ("others",),
    "paraphrase": ("teacher", "chain", "others"),
    "separate": ("teacher",),
    "regenerate": ("teacher",),
    "evol-instruct": ("teacher", "iterations", "no_breadth"),
    "seqeval": ("teacher", "iterations", "extract", "no_refine", "parser"),
}
"""Which options a method takes; the defaults stand in its engine."""

Engine = Callable[..., Iterator[Any]]


def _shares(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, float]:
    pairs = [item.partition("=") for item in text.split(",")] if text else []
    try:
        shares = {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        shares = {}
    if len(shares) < len(pairs) or not all(map(math.isfinite, shares.values())):
        raise click.BadParameter("write it as decompose=25,prefix=45,suffix=18,keep=12")
    return shares


def _codes(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",")) if text else ()


@click.command("augment", cls=Command, short_help="Turn instructions into chains.")
@click.option(
    "--method",
    type=click.Choice([*MODULES]),
    default="seq-instruct",
    show_default=True,
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every draw.")
@click.option(
    "--teacher",
    metavar="KIND[:MODEL]",
    help="Who writes: builtin (default), openai:MODEL at any compatible server, vllm:PATH or "
    "transformers:PATH in process, replay:FILE.",
)
@click.option("--iterations", type=click.IntRange(1, 20), help="How often to chain on; default 1.")
@click.option(
    "--shares",
    callback=_shares,
    metavar="NAME=N,…",
    help="How often decompose, prefix, suffix and keep are drawn.",
)
@click.option(
    "--steps",
    callback=_codes,
    metavar="NAME,…",
    help="The tasks that the builtin teacher may add; default all.",
)
@click.option("--list-steps", is_flag=True, help="Show them, each with a wording.")
@click.option(
    "--extract",
    type=click.Choice(["auto", "always", "never"]),
    help="Tell the task from the content first where one text holds both; default auto.",
)
@click.option("--no-refine", is_flag=True, help="Do not have the teacher look its chains over.")
@click.option(
    "--until",
    type=click.Choice(["classify", "rewrite", "respond"]),
    help="The last stage; default respond.",
)
@click.option("--thaw", is_flag=True, help="Try kept records again; with another --seed.")
@click.option(
    "--parser",
    type=click.Choice(["seqit", "paper"]),
    help="The form of the teacher's answers; paper is the reference's, to compare.",
)
@click.option("--no-breadth", is_flag=True, help="evol-instruct: make prompts harder alone.")
@click.option(
    "--chain",
    type=click.Choice(["paraphrase", "paraphrase-repeat", "repeat-paraphrase"]),
    help="paraphrase: what comes before the answer; default paraphrase.",
)
@click.option("--languages", callback=_codes, metavar="L1,L2", help="Languages to translate from.")
@click.option("--into", metavar="CODE", help="The language to translate into; default en.")
@click.option(
    "--row-language", metavar="CODE", help="The language of rows that do not tell; default en."
)
@click.option(
    "--variant",
    metavar="NAME",
    help="translate: single-turn (default), multi-turn or crosslingual; "
    "caption: describe (default), base or merged.",
)
@click.option(
    "--content",
    type=click.Choice(["all", "input"]),
    help="What is in the foreign language: all of the task (default), or the input alone.",
)
@click.option(
    "--answer",
    type=click.Choice(["target", "source"]),
    help="The language of the answer: that of the translation (default) or the foreign one.",
)
@click.option(
    "--per-row",
    type=click.Choice(["one", "all"]),
    help="Draw one language a row (default), or make a record of each.",
)
@click.option(
    "--share", type=click.FloatRange(0, 1), help="Share of the parallel rows to convert; default 1."
)
@click.option(
    "--captions", type=click.Choice(["draw", "first"]), help="Which of several; default draw."
)
@click.option(
    "--others",
    type=click.Choice(["reject", "pass"]),
    help="What becomes of rows that the method does not apply to; default reject.",
)
@data_options
@model_options
def command(
    job: Job, method: str, seed: int, list_steps: bool, model: ModelOptions, **options: Any
) -> None:
    """Turn each instruction into a chain of tasks, and answer every step.

    \b
    seq-instruct   decompose, add a prefix or a suffix task, or keep; the builtin
                   teacher needs no model, and all that it adds can be verified
    translate      translate first, then do the task
    caption        describe the image first, then answer
    repeat         placebo: repeat the input first, then do the task
    paraphrase     placebo: put it into other words first (needs a model)
    separate       a chain back into single instructions; a model answers steps
                   that have no answer of their own
    regenerate     answer the instructions as they are anew (needs a model)
    evol-instruct  make prompts harder, WizardLM's way (needs a model)
    seqeval        build a benchmark of chains without answers (needs a model)

    \b
    Options by method:
    seq-instruct   --teacher --iterations --shares --steps --extract
                   --no-refine --until --thaw --parser
    translate      --teacher --languages --into --row-language --variant
                   --content --answer --per-row --share --others
    caption        --teacher --variant --captions --others
    repeat         --others
    paraphrase     --teacher --chain --others
    separate       --teacher
    regenerate     --teacher
    evol-instruct  --teacher --iterations --no-breadth
    seqeval        --teacher --iterations --extract --no-refine --parser
    """  # fmt: skip
    if list_steps:
        click.echo(_listing())
        return
    given = {
        name: value
        for name, value in options.items()
        if was_given(value) and (name in OPTIONS[method] or was_typed(name))
    }
    for name in given:
        if name not in OPTIONS[method]:
            methods = ", ".join(each for each, names in OPTIONS.items() if name in names)
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for --method {methods}, not for {method}")
    if given.get("teacher", "builtin") == "builtin":
        given.pop("teacher", None)
        _without_model(job, method, seed, given, model)
    elif own := given.keys() & {"shares", "steps"}:
        raise UsageError(f"--{min(own)} belongs to the builtin teacher: a model chooses by itself")
    else:
        _with_model(job, method, seed, given, model)


def _listing() -> str:
    """Return the library as a table: where a step goes, its name, one of its wordings."""
    from seqit.augment.builtin.decompose import DECOMPOSE_STEPS
    from seqit.augment.builtin.library import PREFIX_STEPS, SUFFIX_STEPS

    kinds = {"prefix": PREFIX_STEPS, "suffix": SUFFIX_STEPS, "decompose": DECOMPOSE_STEPS}
    width = max(len(kind.name) for each in kinds.values() for kind in each)
    return "\n".join(
        f"{place:<9}  {kind.name:<{width}}  {kind.phrasings[0]}"
        for place, each in kinds.items()
        for kind in each
    )


def _without_model(
    job: Job, method: str, seed: int, given: dict[str, Any], model: ModelOptions
) -> None:
    if model.names:
        raise UsageError(f"{model.names[0]} is for a model; name one with --teacher openai:MODEL")
    if method == "seq-instruct":
        from seqit.augment.builtin.teacher import BuiltinTeacher

        for name in ("extract", "no_refine", "until", "parser"):
            if name in given:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is for a model as --teacher, and builtin is none")
        own = {name: given.pop(name) for name in ("shares", "steps") if name in given}
        given["teacher"] = BuiltinTeacher(**own)
    run = partial(_engine(method), seed=seed, **_arguments(method, given))
    job.run(run, remarks=_shares_of(method))


def _with_model(
    job: Job, method: str, seed: int, given: dict[str, Any], model: ModelOptions
) -> None:
    teacher = given.pop("teacher")
    job.check()
    if model.given["dry_run"]:
        from seqit.commands.shell.estimate import estimate

        estimate(job, method, given, teacher, model)
        return
    with model.open(teacher, partial(say, job.context)) as (asked, scheduler):
        arguments = _arguments(method, given)
        engine = _engine(method)
        if arguments.pop("parser", "seqit") == "paper":
            from seqit.augment.seq_instruct.paper.form import PaperParser

            parser = PaperParser()
            arguments["shape"] = parser.shape
            engine = _counting(engine, parser.counts)
        if method == "seq-instruct":
            from seqit.augment.seq_instruct.llm.teacher import LanguageTeacher

            names = ("extract", "refine", "until", "shape")
            own = {name: arguments.pop(name) for name in names if name in arguments}
            arguments |= {"teacher": LanguageTeacher(asked, **own), "dispatch": scheduler}
        else:
            arguments["model"] = asked
        run = partial(engine, seed=seed, **arguments)
        job.run(run, scheduler=scheduler, remarks=_shares_of(method))


def _shares_of(method: str) -> Callable[[Any], list[str]] | None:
    """Return what tells the operations' shares by iteration, for the method that has them."""
    if method != "seq-instruct":
        return None

    def remarks(stats: Any) -> list[str]:
        from seqit.augment.seq_instruct.method import shares_lines

        return shares_lines(stats.results["operations"])

    return remarks


def _counting(engine: Engine, counts: dict[str, Any]) -> Engine:
    """Have an engine count where the reference would have read an answer otherwise."""

    def counting(rows: Iterator[Any], stats: Any, **arguments: Any) -> Iterator[Any]:
        stats.results["parser"] = counts
        return engine(rows, stats, **arguments)

    return counting


def _engine(method: str) -> Engine:
    engine: Engine = import_module(f"seqit.augment.{MODULES[method]}").augment
    return engine


def _arguments(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the engine's arguments: a flag --no-X is its argument X, false."""
    arguments = {name.removeprefix("no_"): value for name, value in given.items()}
    arguments |= {name: False for name in ("refine", "breadth") if name in arguments}
    if method == "evol-instruct" and "iterations" in arguments:
        arguments["rounds"] = arguments.pop("iterations")
    return arguments
