"""The plan of a training run as people read it, and a row with its mask."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seqit.train.data.chat_encoder import Encoder
    from seqit.train.data.dataset import Example
    from seqit.train.plan import TrainPlan

GIB = 2**30
MOST_GROUPS = 12
"""Sources that the plan lists; the rest are added up."""


def plan_lines(plan: "TrainPlan") -> Iterator[str]:
    """Yield the plan, line by line."""
    yield from _row_lines(plan.counts)
    yield from _group_lines(plan.counts["by"])
    yield from _step_lines(plan)
    if plan.needs:
        yield from _memory_lines(plan)


def _row_lines(counts: dict[str, Any]) -> Iterator[str]:
    held = counts.get("held_out", 0)
    line = f"rows: read {counts['read']:,}, trained on {counts['written']:,}"
    line += f", held out {held:,}, rejected {counts['rejected']:,}, failed {counts['failed']:,}"
    yield line
    for stage, reasons in counts["reasons"].items():
        for reason, number in sorted(reasons.items(), key=lambda item: -item[1]):
            yield f"  {stage}: {reason} {number:,}"
    if counts["truncated"]:
        cut, lost = counts["truncated"], counts["tokens_cut"]
        yield f"  cut to the length: {cut:,} rows lost {lost:,} tokens"
    if counts["turns_left_out"]:
        yield (
            f"  masked: {counts['turns_left_out']:,} earlier turns of the assistant, which the "
            "template shows otherwise once they are past"
        )
    tokens, targets = counts["tokens"].get("train", 0), counts["targets"].get("train", 0)
    yield (
        f"tokens: {tokens:,} an epoch, of which {targets:,} are learnt "
        f"({_share(targets, tokens)}); the longest row has {counts['longest']:,}"
    )
    if counts["images"]:
        yield f"images: {counts['images']:,}"


def _group_lines(by: dict[str, dict[str, dict[str, int]]]) -> Iterator[str]:
    cells = [["", "rows", "tokens", "", "learnt"]]
    for field, groups in by.items():
        ordered = sorted(groups.items(), key=lambda item: -item[1]["tokens"])
        whole = sum(group["tokens"] for group in groups.values())
        if rest := ordered[MOST_GROUPS:]:
            added = {key: sum(group[key] for _, group in rest) for key in rest[0][1]}
            ordered = [*ordered[:MOST_GROUPS], (f"of {len(rest):,} others", added)]
        for name, group in ordered:
            share = _share(group["tokens"], whole)
            rows, tokens, learnt = (f"{group[key]:,}" for key in ("rows", "tokens", "targets"))
            cells.append([f"{field} {name}", rows, tokens, share, learnt])
    yield from _table(cells)


def _step_lines(plan: "TrainPlan") -> Iterator[str]:
    recipe = plan.recipe
    data, tuning = recipe.data, recipe.tuning
    what = "sequences" if data.packing else "rows"
    if data.packing:
        yield (
            f"packing: {plan.trained:,} rows in {plan.sequences:,} sequences of {data.length:,} "
            f"tokens, {plan.filled:.1%} filled"
        )
    else:
        yield f"padding: rows of a length together; {1 - plan.filled:.1%} of the tokens are padding"
    epochs = f"{tuning.epochs:g} epochs" if tuning.max_steps is None else "--max-steps"
    yield f"steps: {plan.steps:,} ({plan.steps_an_epoch:,} an epoch, {epochs})"
    batch = f"batch: {plan.sequences_a_step:,} {what} a step"
    if data.packing:
        batch += f", on average {plan.rows_a_step:,.1f} rows and {plan.tokens_a_step:,.0f} tokens"
    else:
        batch += f", on average {plan.tokens_a_step:,.0f} tokens"
    yield batch
    micro = tuning.micro_batch or 1
    ranks = f"ranks: {plan.ranks}, each up to {micro} {what} at once, {plan.rounds} times a step"
    if plan.busy < 1:
        ranks += f"; {1 - plan.busy:.0%} of that without work: another --batch would fill it"
    yield ranks


def _memory_lines(plan: "TrainPlan") -> Iterator[str]:
    cells = [["memory of a rank, GiB", "state", "activations", "together", ""]]
    for need in plan.needs or ():
        numbers = [f"{each / GIB:,.2f}" for each in (need.state, need.activations, need.total)]
        chosen = "chosen" if need.stage == plan.stage else ""
        cells.append([f"ZeRO {need.stage}", *numbers, chosen])
    yield from _table(cells)


def _table(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        line = [first.ljust(widths[0])]
        line += [each.rjust(width) for each, width in zip(others, widths[1:], strict=True)]
        yield "  " + "  ".join(line).rstrip()


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def mask_lines(example: "Example", encoder: "Encoder") -> Iterator[str]:
    """Yield a row's text as it is trained on: ``+`` what is learnt, ``|`` what is only shown.

    In colours where a person reads, and NO_COLOR is not set.
    """
    learnt = int(example.targets.sum())
    yield f"row {example.row_id}: {len(example.ids):,} tokens, {learnt:,} learnt"
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for is_learnt, text in runs_of(example, encoder):
        mark = "+" if is_learnt else "|"
        for line in text.split("\n"):
            shown = f"  {mark} {line}"
            yield (
                click.style(shown, fg="green" if is_learnt else None, dim=not is_learnt)
                if (colours)
                else shown
            )


def runs_of(example: "Example", encoder: "Encoder") -> Iterator[tuple[bool, str]]:
    """Yield the row's text in parts, and whether each is learnt.

    A part is decoded behind the token before it: a first token loses its blank in some tokenizers.
    """
    ids, targets = example.ids.tolist(), example.targets.tolist()
    start = 0
    for end in range(1, len(ids) + 1):
        if end < len(ids) and targets[end] == targets[start]:
            continue
        before = ids[max(start - 1, 0) : start]
        yield targets[start], encoder.decode(before + ids[start:end])[len(encoder.decode(before)) :]
        start = end
