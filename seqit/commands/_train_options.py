"""The options of seqit train that set fields of the recipe."""

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
        help="Rows for the evaluation loss; repeatable.",
    ),
    _DATA(
        "--held-out",
        "data__held_out",
        metavar="SHARE",
        type=click.FloatRange(0, 1, max_open=True),
        help="Hold this share of the roots out for the evaluation loss: 0.02.",
    ),
    _DATA(
        "--length",
        "data__length",
        type=click.IntRange(8),
        metavar="TOKENS",
        help="Maximum length of an example and of a packed sequence. Default: 2048.",
    ),
    _DATA(
        "--truncate",
        "data__truncate",
        is_flag=True,
        default=None,
        help="Truncate longer rows; without it they are rejected.",
    ),
    _DATA(
        "--packing/--no-packing",
        "data__packing",
        default=None,
        help="Pack several rows into a sequence, without attention between them. Default: packing.",
    ),
    _DATA(
        "--loss",
        "data__loss",
        type=click.Choice(("assistant", "last")),
        help="Loss on every turn of the assistant (the default), or on the last one.",
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
        help="Number of steps, instead of --epochs.",
    ),
    _TUNING(
        "--batch-size",
        "tuning__batch_size",
        type=_COUNT,
        metavar="ROWS",
        help="Rows per step over all ranks, on average if they are packed. Default: 128.",
    ),
    _TUNING(
        "--batch-tokens",
        "tuning__batch_tokens",
        type=_COUNT,
        metavar="N",
        help="Tokens per step, instead of --batch-size: the same for any data.",
    ),
    _TUNING(
        "--micro-batch",
        "tuning__micro_batch",
        type=_COUNT,
        metavar="N",
        help="Packed sequences (or rows) that a rank processes at once. Default: 1.",
    ),
    _TUNING(
        "--learning-rate",
        "tuning__learning_rate",
        type=click.FloatRange(0, min_open=True),
        metavar="RATE",
        help="The peak learning rate. Default: 2e-5.",
    ),
    _TUNING(
        "--schedule",
        "tuning__schedule",
        type=click.Choice(("linear", "cosine", "constant")),
        help="How the learning rate decays. Default: linear.",
    ),
    _TUNING(
        "--warmup",
        "tuning__warmup",
        type=click.FloatRange(0),
        metavar="SHARE|STEPS",
        help="Share of the steps for the warm-up, or, from 1 on, their number. Default: 0.03.",
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
        help="Gradients are clipped to this norm. Default: 1.",
    ),
    _TUNING(
        "--seed",
        "tuning__seed",
        type=int,
        help="Decides the order, the held-out rows and the initial adapters. Default: 0.",
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
        help="Where to offload the optimizer state and, with stage 3, the weights.",
    ),
    _MEMORY(
        "--dtype",
        "memory__dtype",
        type=click.Choice(("bfloat16", "float32")),
        help="Default: bfloat16 on a GPU, otherwise float32.",
    ),
    _MEMORY(
        "--checkpointing/--no-checkpointing",
        "memory__checkpointing",
        default=None,
        help="Recompute activations instead of keeping them. Default: checkpointing.",
    ),
    _MEMORY(
        "--attention",
        "memory__attention",
        metavar="NAME",
        help="Default: flash_attention_2 if it is installed, otherwise sdpa.",
    ),
    _MEMORY(
        "--deepspeed",
        "memory__deepspeed",
        metavar="FILE",
        help="DeepSpeed settings that override those made from these options.",
    ),
    _LORA(
        "--lora/--no-lora",
        "lora__wanted",
        default=None,
        help="Train adapters on frozen weights. Default: full fine-tuning.",
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
        help="Modules, separated by commas. Default: all-linear.",
    ),
    _LORA(
        "--bits",
        "lora__bits",
        type=click.Choice([4, 8]),
        help="Quantize the frozen weights to this many bits (QLoRA); needs a GPU.",
    ),
    _RUN(
        "--checkpoint-every",
        "checkpoints__every",
        type=_COUNT,
        metavar="STEPS",
        help="Steps between checkpoints. Default: once per epoch.",
    ),
    _RUN(
        "--save-total-limit",
        "checkpoints__save_total_limit",
        type=_COUNT,
        metavar="N",
        help="Keep this many of the newest checkpoints. Default: 2.",
    ),
    _RUN(
        "--log-every",
        "logging__log_every",
        type=_COUNT,
        metavar="STEPS",
        help="Steps between the lines of DIR/metrics.jsonl. Default: 1.",
    ),
    _RUN(
        "--eval-every",
        "logging__eval_every",
        type=_COUNT,
        metavar="STEPS",
        help="Steps between evaluations. Default: once per epoch.",
    ),
    _RUN(
        "--tensorboard",
        "logging__tensorboard",
        metavar="DIR",
        help="Also write TensorBoard events.",
    ),
    _RUN("--wandb", "logging__wandb", metavar="PROJECT", help="Also log to Weights & Biases."),
    _LAUNCH(
        "--ranks",
        "launch__ranks",
        type=_COUNT,
        metavar="N",
        help="Processes per node. Default: one per GPU, or one.",
    ),
    _LAUNCH(
        "--nodes",
        "launch__nodes",
        type=_COUNT,
        metavar="N",
        help="Number of nodes. Default: 1, or those of the hostfile.",
    ),
    _LAUNCH(
        "--hostfile",
        "launch__hostfile",
        metavar="FILE",
        help="Nodes, one per line: NAME slots=GPUS.",
    ),
    _LAUNCH(
        "--rendezvous",
        "launch__rendezvous",
        metavar="HOST:PORT",
        help="The address where the nodes meet: the first of them.",
    ),
    _LAUNCH(
        "--restarts",
        "launch__restarts",
        metavar="N",
        type=click.IntRange(0),
        help="How often to restart from the newest checkpoint if a rank dies. Default: 0.",
    ),
)


def recipe_options(body: Body) -> Body:
    """Add the options that set fields of the recipe; parameters are named SECTION__FIELD."""
    for option in reversed(_OPTIONS):
        body = option(body)
    return body


def apply_options(recipe: "TrainRecipe", options: dict[str, Any]) -> "TrainRecipe":
    """Return the recipe, overridden by the options of the command line."""
    from seqit.train.recipe import SECTIONS, Lora

    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, value in options.items():
        section, _, field = name.partition("__")
        if section in SECTIONS and value not in (None, ()):
            values[section][field] = value
    if "batch_size" in values["tuning"]:
        if "batch_tokens" in values["tuning"]:
            raise UsageError(
                "--batch-size and --batch-tokens both set the size of a step; give one"
            )
        values["tuning"]["batch_tokens"] = None  # the option overrides the recipe's
    enabled = values["lora"].pop("wanted", None)
    if enabled is False and values["lora"]:
        raise UsageError("--no-lora excludes the other options for adapters")
    changes: dict[str, Any] = {
        name: dataclasses.replace(getattr(recipe, name), **given)
        for name, given in values.items()
        if given and name != "lora"
    }
    if enabled or values["lora"]:
        changes["lora"] = dataclasses.replace(recipe.lora or Lora(), **values["lora"])
    elif enabled is False:
        changes["lora"] = None
    return dataclasses.replace(recipe, **changes)
