"""seqit augment: instructions become chains of instructions."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import click

from seqit.commands._job import Job, data_options
from seqit.commands._shell import Command
from seqit.errors import UsageError

MODULES = {
    "seq-instruct": "seq_instruct",
    "translate": "translate",
    "caption": "caption",
    "repeat": "placebo",
    "separate": "separate",
}
TEACHERS = ("builtin",)
OPTIONS = {
    "seq-instruct": ("teacher", "iterations", "shares"),
    "translate": (
        *("languages", "into", "variant", "content", "answer", "per_row", "share", "others"),
    ),
    "caption": ("variant", "captions", "others"),
    "repeat": ("others",),
    "separate": (),
}
"""Which options a method takes; the defaults stand in its engine."""


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
    type=click.Choice([*MODULES, "regenerate"]),
    default="seq-instruct",
    show_default=True,
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every draw.")
@click.option("--teacher", type=click.Choice(TEACHERS), help="Who rewrites; default builtin.")
@click.option("--iterations", type=click.IntRange(1, 20), help="How often to chain on; default 1.")
@click.option(
    "--shares",
    callback=_shares,
    metavar="NAME=N,…",
    help="How often decompose, prefix, suffix and keep are drawn.",
)
@click.option("--languages", callback=_codes, metavar="L1,L2", help="Languages to translate from.")
@click.option("--into", metavar="CODE", help="The language to translate into; default en.")
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
def command(job: Job, method: str, seed: int, **options: Any) -> None:
    """Turn each instruction into a chain of tasks, and answer every step.

    \b
    seq-instruct  decompose, add a prefix or a suffix task, or keep; the builtin
                  teacher needs no model, and all that it adds can be verified
    translate     parallel rows: translate first, then do the task
    caption       image rows: describe the image first, then answer
    repeat        placebo: repeat the input first, then do the task
    separate      a chain back into single instructions
    regenerate    answer the original instructions anew (needs an LLM teacher)

    \b
    Options by method:
    seq-instruct  --teacher --iterations --shares
    translate     --languages --into --variant --content --answer --per-row
                  --share --others
    caption       --variant --captions --others
    repeat        --others
    """  # fmt: skip
    if method == "regenerate":
        raise UsageError(
            "--method regenerate needs a language model as teacher, and builtin is none"
        )
    given = {name: value for name, value in options.items() if value not in (None, (), {})}
    for name in given:
        if name not in OPTIONS[method]:
            methods = " and ".join(each for each, names in OPTIONS.items() if name in names)
            option = name.replace("_", "-")
            raise UsageError(f"--{option} belongs to --method {methods}, not to {method}")
    if method == "seq-instruct":
        given["teacher"] = _teacher(given)
    engine: Callable[..., Iterator[Any]] = import_module(f"seqit.augment.{MODULES[method]}").augment
    job.run(partial(engine, seed=seed, **given))


def _teacher(given: dict[str, Any]) -> Any:
    from seqit.augment.builtin.teacher import BuiltinTeacher

    given.pop("teacher", None)
    shares = given.pop("shares", None)
    return BuiltinTeacher(shares) if shares else BuiltinTeacher()
