"""The options of seqit train, and the fields of the recipe that they set."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import SectionOption
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.train.recipe import TrainRecipe

Body = Callable[..., None]


def _section(title: str) -> Callable[..., Callable[[Body], Body]]:
    return partial(click.option, cls=SectionOption, section=title)


_DATA = _section("Data")
_TUNING = _section("Tuning")
_MEMORY = _section("Memory")
_LORA = _section("Adapters")
_RUN = _section("Checkpoints and logs")
_LAUNCH = _section("Ranks")
_COUNT = click.IntRange(1)

_OPTIONS: tuple[Callable[[Body], Body], ...] = (
    _DATA(
        "--eval",
        "data__eval",
        multiple=True,
        metavar="FILE",
        help="Rows for the evaluation loss; may be given again.",
    ),
    _DATA(
        "--hold-out",
        "data__hold_out",
        metavar="SHARE",
        type=click.FloatRange(0, 1, max_open=True),
        help="Keep this share of the roots for the evaluation loss: 0.02.",
    ),
    _DATA(
        "--length",
        "data__length",
        type=click.IntRange(8),
        metavar="TOKENS",
        help="The longest example, and what rows are packed into. Default: 2048.",
    ),
    _DATA(
        "--truncate",
        "data__truncate",
        is_flag=True,
        default=None,
        help="Cut longer rows; else they are rejected.",
    ),
    _DATA(
        "--packing/--no-packing",
        "data__packing",
        default=None,
        help="Several rows in one sequence, which do not see each other. Default: packing.",
    ),
    _DATA(
        "--loss",
        "data__loss",
        type=click.Choice(("assistant", "last")),
        help="On every turn of the assistant (the default), or the last alone.",
    ),
    _TUNING(
        "--epochs",
        "tuning__epochs",
        metavar="N",
        type=click.FloatRange(0, min_open=True),
        help="Passes over the rows. Default: 3.",
    ),
    _TUNING(
        "--max-steps",
        "tuning__max_steps",
        type=_COUNT,
        metavar="N",
        help="Steps, in place of what the epochs come to.",
    ),
    _TUNING(
        "--batch",
        "tuning__batch",
        type=_COUNT,
        metavar="ROWS",
        help="Rows of one step over all ranks, on average where they are packed. Default: 128.",
    ),
    _TUNING(
        "--batch-tokens",
        "tuning__batch_tokens",
        type=_COUNT,
        metavar="N",
        help="Tokens of one step, in place of --batch: the same for any data.",
    ),
    _TUNING(
        "--micro-batch",
        "tuning__micro_batch",
        type=_COUNT,
        metavar="N",
        help="Packed sequences (or rows) that a rank computes at once. Default: 1.",
    ),
    _TUNING(
        "--lr",
        "tuning__lr",
        type=click.FloatRange(0, min_open=True),
        metavar="RATE",
        help="The highest learning rate. Default: 2e-5.",
    ),
    _TUNING(
        "--schedule",
        "tuning__schedule",
        type=click.Choice(("linear", "cosine", "constant")),
        help="How the learning rate falls. Default: linear.",
    ),
    _TUNING(
        "--warmup",
        "tuning__warmup",
        type=click.FloatRange(0),
        metavar="SHARE|STEPS",
        help="The share of the steps in which it rises, or, from 1 on, their number. Default: "
        "0.03.",
    ),
    _TUNING(
        "--weight-decay",
        "tuning__weight_decay",
        type=click.FloatRange(0),
        metavar="N",
        help="Default: 0.",
    ),
    _TUNING(
        "--max-grad-norm",
        "tuning__max_grad_norm",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help="The norm to which gradients are cut. Default: 1.",
    ),
    _TUNING(
        "--seed",
        "tuning__seed",
        type=int,
        metavar="N",
        help="Decides the order, what is held out, and what adapters begin with. Default: 0.",
    ),
    _MEMORY(
        "--zero",
        "memory__zero",
        type=click.IntRange(0, 3),
        metavar="STAGE",
        help="ZeRO's stage. Default: 0 on one rank, 2 with adapters, else 3.",
    ),
    _MEMORY(
        "--offload",
        "memory__offload",
        metavar="cpu|nvme:DIR",
        help="Where optimizer, and with stage 3 weights, go.",
    ),
    _MEMORY(
        "--dtype",
        "memory__dtype",
        type=click.Choice(("bfloat16", "float32")),
        help="Default: bfloat16 on a GPU, else float32.",
    ),
    _MEMORY(
        "--checkpointing/--no-checkpointing",
        "memory__checkpointing",
        default=None,
        help="Compute activations again in place of keeping them. Default: checkpointing.",
    ),
    _MEMORY(
        "--attention",
        "memory__attention",
        metavar="NAME",
        help="Default: flash_attention_2 where it is installed, else sdpa.",
    ),
    _MEMORY(
        "--deepspeed",
        "memory__deepspeed",
        metavar="FILE",
        help="DeepSpeed's own settings, laid over those that are made from these options.",
    ),
    _LORA(
        "--lora/--no-lora",
        "lora__wanted",
        default=None,
        help="Train adapters beside the frozen weights. Default: full fine-tuning.",
    ),
    _LORA("--lora-rank", "lora__rank", type=_COUNT, metavar="N", help="Default: 64."),
    _LORA(
        "--lora-alpha",
        "lora__alpha",
        metavar="N",
        type=click.FloatRange(0, min_open=True),
        help="Default: 16.",
    ),
    _LORA(
        "--lora-dropout",
        "lora__dropout",
        metavar="SHARE",
        type=click.FloatRange(0, 1, max_open=True),
        help="Default: 0.",
    ),
    _LORA(
        "--lora-targets",
        "lora__targets",
        metavar="NAMES",
        help="Modules, with commas. Default: all-linear.",
    ),
    _LORA(
        "--bits",
        "lora__bits",
        type=click.Choice([4, 8]),
        help="Hold the frozen weights in so many bits (QLoRA); needs a GPU.",
    ),
    _RUN(
        "--checkpoint-every",
        "keeping__every",
        type=_COUNT,
        metavar="STEPS",
        help="Default: once an epoch.",
    ),
    _RUN(
        "--keep",
        "keeping__keep",
        type=_COUNT,
        metavar="N",
        help="How many of the newest checkpoints stay. Default: 2.",
    ),
    _RUN(
        "--log-every",
        "watching__log_every",
        type=_COUNT,
        metavar="STEPS",
        help="Between the lines of DIR/metrics.jsonl. Default: 1.",
    ),
    _RUN(
        "--eval-every",
        "watching__eval_every",
        type=_COUNT,
        metavar="STEPS",
        help="Between evaluations. Default: once an epoch.",
    ),
    _RUN(
        "--tensorboard", "watching__tensorboard", metavar="DIR", help="Write for TensorBoard, too."
    ),
    _RUN("--wandb", "watching__wandb", metavar="PROJECT", help="Send to Weights & Biases, too."),
    _LAUNCH(
        "--ranks",
        "launch__ranks",
        type=_COUNT,
        metavar="N",
        help="Processes on each node. Default: one a GPU, or one.",
    ),
    _LAUNCH(
        "--nodes",
        "launch__nodes",
        type=_COUNT,
        metavar="N",
        help="Default: 1, or those of the hostfile.",
    ),
    _LAUNCH(
        "--hostfile", "launch__hostfile", metavar="FILE", help="Nodes, one a line: NAME slots=GPUS."
    ),
    _LAUNCH(
        "--rendezvous",
        "launch__rendezvous",
        metavar="HOST:PORT",
        help="Where the nodes meet: the first of them.",
    ),
    _LAUNCH(
        "--restarts",
        "launch__restarts",
        metavar="N",
        type=click.IntRange(0),
        help="How often ranks are started again, from the newest checkpoint, when one dies. "
        "Default: 0.",
    ),
)


def recipe_options(body: Body) -> Body:
    """Give a command the options that set fields of the recipe, as SECTION__FIELD."""
    for option in reversed(_OPTIONS):
        body = option(body)
    return body


def apply_options(recipe: "TrainRecipe", options: dict[str, Any]) -> "TrainRecipe":
    """Return the recipe with what the command line says otherwise."""
    from seqit.train.recipe import SECTIONS, Lora

    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, value in options.items():
        section, _, field = name.partition("__")
        if section in SECTIONS and value not in (None, ()):
            values[section][field] = value
    if "batch" in values["tuning"]:
        if "batch_tokens" in values["tuning"]:
            raise UsageError("--batch and --batch-tokens both say how large a step is; take one")
        values["tuning"]["batch_tokens"] = None  # a recipe's
    wanted = values["lora"].pop("wanted", None)
    if wanted is False and values["lora"]:
        raise UsageError("--no-lora leaves no adapters for the other options of them")
    changes: dict[str, Any] = {
        name: dataclasses.replace(getattr(recipe, name), **given)
        for name, given in values.items()
        if given and name != "lora"
    }
    if wanted or values["lora"]:
        changes["lora"] = dataclasses.replace(recipe.lora or Lora(), **values["lora"])
    elif wanted is False:
        changes["lora"] = None
    return dataclasses.replace(recipe, **changes)
