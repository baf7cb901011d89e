"""seqit augment: turn instructions into chains of instructions."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import click

from seqit.commands.shell.command import Command, say, was_given, was_typed
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions, model_options
from seqit.commands.shell.options import data_options, list_option
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
        *("teacher", "iterations", "shares", "steps", "extract", "no_refine"),
        *("stop_after", "retry_kept", "parser"),
    ),
    "translate": (
        *("teacher", "source_languages", "into", "language", "variant", "content", "answer"),
        *("languages_per_row", "fraction", "on_inapplicable"),
    ),
    "caption": ("teacher", "variant", "captions", "on_inapplicable"),
    "repeat": ("on_inapplicable",),
    "paraphrase": ("teacher", "chain", "on_inapplicable"),
    "separate": ("teacher",),
    "regenerate": ("teacher",),
    "evol-instruct": ("teacher", "iterations", "no_breadth"),
    "seqeval": ("teacher", "iterations", "extract", "no_refine", "parser"),
}
"""The options of each method; their defaults are in its engine."""

_OPTION_NAMES = {"source_languages": "--from"}
"""Options whose parameter has another name."""

Engine = Callable[..., Iterator[Any]]


def _parse_shares(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, float]:
    pairs = [item.partition("=") for item in text.split(",")] if text else []
    try:
        shares = {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        shares = {}
    if len(shares) < len(pairs) or not all(map(math.isfinite, shares.values())):
        raise click.BadParameter("write it as decompose=25,prefix=45,suffix=18,keep=12")
    return shares


def _parse_names(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",")) if text else ()


def _list_steps() -> str:
    """Return the step library as a table: a step's operation, its name, one phrasing."""
    from seqit.augment.builtin.decompose import DECOMPOSE_STEPS
    from seqit.augment.builtin.library import PREFIX_STEPS, SUFFIX_STEPS

    libraries = {"prefix": PREFIX_STEPS, "suffix": SUFFIX_STEPS, "decompose": DECOMPOSE_STEPS}
    width = max(len(step.name) for library in libraries.values() for step in library)
    return "\n".join(
        f"{operation:<9}  {step.name:<{width}}  {step.phrasings[0]}"
        for operation, library in libraries.items()
        for step in library
    )


@click.command("augment", cls=Command, short_help="Turn instructions into chains.")
@click.option(
    "--method",
    type=click.Choice([*MODULES]),
    default="seq-instruct",
    show_default=True,
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides all random choices.")
@click.option(
    "--teacher",
    metavar="KIND[:MODEL]",
    help="The teacher: builtin (default), openai:MODEL at any compatible server, vllm:PATH or "
    "transformers:PATH in process, replay:FILE.",
)
@click.option(
    "--iterations", type=click.IntRange(1, 20), help="How often to extend a chain; default 1."
)
@click.option(
    "--shares",
    callback=_parse_shares,
    metavar="NAME=N,…",
    help="How often decompose, prefix, suffix and keep are chosen, as weights.",
)
@click.option(
    "--steps",
    callback=_parse_names,
    metavar="NAME,…",
    help="The steps that the builtin teacher may add; default all.",
)
@list_option(_list_steps, "Show the builtin teacher's steps, each with one phrasing.")
@click.option(
    "--extract",
    type=click.Choice(["auto", "always", "never"]),
    help="First move content in the instruction, such as a text to work on, to the input; "
    "default auto.",
)
@click.option(
    "--no-refine", is_flag=True, help="Skip the stage in which the teacher reviews its chains."
)
@click.option(
    "--stop-after",
    type=click.Choice(["classify", "rewrite", "respond"]),
    help="The last stage; default respond.",
)
@click.option(
    "--retry-kept", is_flag=True, help="Try kept records again; use another --seed with it."
)
@click.option(
    "--parser",
    type=click.Choice(["seqit", "paper"]),
    help="The format of the teacher's answers; paper is the reference implementation's.",
)
@click.option("--no-breadth", is_flag=True, help="evol-instruct: only make prompts harder.")
@click.option(
    "--chain",
    type=click.Choice(["paraphrase", "paraphrase-repeat", "repeat-paraphrase"]),
    help="paraphrase: the tasks before the original one; default paraphrase.",
)
@click.option(
    "--from",
    "source_languages",
    callback=_parse_names,
    metavar="L1,L2",
    help="Languages to translate from.",
)
@click.option("--into", metavar="CODE", help="The language to translate into; default en.")
@click.option(
    "--language", metavar="CODE", help="The language of rows that do not name one; default en."
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
    help="The part in the foreign language: the whole task (default), or the input.",
)
@click.option(
    "--answer",
    type=click.Choice(["target", "source"]),
    help="The language of the answer: the translation's (default) or the foreign one.",
)
@click.option(
    "--languages-per-row",
    type=click.Choice(["one", "all"]),
    help="One random language per row (default), or a record for each language.",
)
@click.option(
    "--fraction", type=click.FloatRange(0, 1), help="Fraction of the rows to convert; default 1."
)
@click.option(
    "--captions",
    type=click.Choice(["random", "first"]),
    help="Which of several captions to use: a random one (the default) or the first.",
)
@click.option(
    "--on-inapplicable",
    type=click.Choice(["reject", "pass"]),
    help="What to do with rows that the method does not apply to; default reject.",
)
@data_options
@model_options
def command(job: Job, method: str, seed: int, model: ModelOptions, **options: Any) -> None:
    """Turn each instruction into a chain of tasks, with an answer to every step.

    \b
    seq-instruct   decompose, add a prefix or a suffix task, or keep; the builtin
                   teacher needs no model, and its steps are verified by programs
    translate      translate first, then do the task
    caption        describe the image first, then answer
    repeat         placebo: repeat the input first, then do the task
    paraphrase     placebo: paraphrase the input first (needs a model)
    separate       split a chain into single instructions; a model answers steps
                   that have no answer of their own
    regenerate     new answers to the unchanged instructions (needs a model)
    evol-instruct  make prompts harder, WizardLM's way (needs a model)
    seqeval        build a benchmark of chains without answers (needs a model)

    \b
    Options by method:
    seq-instruct   --teacher --iterations --shares --steps --extract
                   --no-refine --stop-after --retry-kept --parser
    translate      --teacher --from --into --language --variant --content
                   --answer --languages-per-row --fraction --on-inapplicable
    caption        --teacher --variant --captions --on-inapplicable
    repeat         --on-inapplicable
    paraphrase     --teacher --chain --on-inapplicable
    separate       --teacher
    regenerate     --teacher
    evol-instruct  --teacher --iterations --no-breadth
    seqeval        --teacher --iterations --extract --no-refine --parser
    """  # fmt: skip
    given = {
        name: value
        for name, value in options.items()
        if was_given(value) and (name in OPTIONS[method] or was_typed(name))
    }
    for name in given:
        if name not in OPTIONS[method]:
            methods = ", ".join(each for each, names in OPTIONS.items() if name in names)
            raise UsageError(f"{_as_option(name)} is for --method {methods}, not for {method}")
    if given.get("teacher", "builtin") == "builtin":
        given.pop("teacher", None)
        _without_model(job, method, seed, given, model)
    elif builtin_only := given.keys() & {"shares", "steps"}:
        raise UsageError(f"--{min(builtin_only)} is for the builtin teacher, not for a model")
    else:
        _with_model(job, method, seed, given, model)


def _as_option(name: str) -> str:
    return _OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")


def _without_model(
    job: Job, method: str, seed: int, given: dict[str, Any], model: ModelOptions
) -> None:
    if model.names:
        raise UsageError(f"{model.names[0]} is for a model; name one with --teacher openai:MODEL")
    if method == "seq-instruct":
        from seqit.augment.builtin.teacher import BuiltinTeacher

        for name in ("extract", "no_refine", "stop_after", "parser"):
            if name in given:
                raise UsageError(f"{_as_option(name)} needs a model as --teacher, not builtin")
        teacher_options = {name: given.pop(name) for name in ("shares", "steps") if name in given}
        given["teacher"] = BuiltinTeacher(**teacher_options)
    run = partial(_load_engine(method), seed=seed, **_engine_arguments(method, given))
    job.run(run, summary_lines=_share_lines(method))


def _with_model(
    job: Job, method: str, seed: int, given: dict[str, Any], model: ModelOptions
) -> None:
    teacher = given.pop("teacher")
    job.check()
    if model.given["dry_run"]:
        from seqit.commands.shell.estimate import estimate

        estimate(job, method, given, teacher, model)
        return
    with model.open(teacher, partial(say, job.context)) as (client, scheduler):
        arguments = _engine_arguments(method, given)
        engine = _load_engine(method)
        if arguments.pop("parser", "seqit") == "paper":
            from seqit.augment.seq_instruct.paper.form import PaperParser

            parser = PaperParser()
            arguments["output_format"] = parser.form_for
            engine = _with_parser_counts(engine, parser.summary)
        if method == "seq-instruct":
            from seqit.augment.seq_instruct.llm.teacher import LanguageTeacher

            names = ("extract", "refine", "stop_after", "output_format")
            teacher_options = {name: arguments.pop(name) for name in names if name in arguments}
            arguments |= {
                "teacher": LanguageTeacher(client, **teacher_options),
                "runner": scheduler,
            }
        else:
            arguments["model"] = client
        run = partial(engine, seed=seed, **arguments)
        job.run(run, scheduler=scheduler, summary_lines=_share_lines(method))


def _share_lines(method: str) -> Callable[[Any], list[str]] | None:
    """Return a function that renders the shares of the operations; None for other methods."""
    if method != "seq-instruct":
        return None

    def summary_lines(stats: Any) -> list[str]:
        from seqit.augment.seq_instruct.method import format_shares

        return format_shares(stats.results["operations"])

    return summary_lines


def _with_parser_counts(engine: Engine, counts: dict[str, Any]) -> Engine:
    """Return an engine that reports `counts`: answers that the reference parser reads otherwise."""

    def counting(rows: Iterator[Any], stats: Any, **arguments: Any) -> Iterator[Any]:
        stats.results["parser"] = counts
        return engine(rows, stats, **arguments)

    return counting


def _load_engine(method: str) -> Engine:
    engine: Engine = import_module(f"seqit.augment.{MODULES[method]}").augment
    return engine


def _engine_arguments(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the engine's arguments; the flag --no-X is the argument X=False."""
    arguments = {name.removeprefix("no_"): value for name, value in given.items()}
    arguments |= {name: False for name in ("refine", "breadth") if name in arguments}
    if method == "evol-instruct" and "iterations" in arguments:
        arguments["rounds"] = arguments.pop("iterations")
    return arguments
