"""Render the plan of a training run, and a row with its loss mask, as text."""

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
MAX_GROUPS = 12
"""Groups per field that the plan lists; the rest is summed up."""


def plan_lines(plan: "TrainPlan") -> Iterator[str]:
    """Yield the lines of the plan."""
    yield from _row_lines(plan.counts)
    yield from _group_lines(plan.counts["by"])
    yield from _step_lines(plan)
    if plan.memory_estimates:
        yield from _memory_lines(plan)


def _row_lines(counts: dict[str, Any]) -> Iterator[str]:
    held_out = counts.get("held_out", 0)
    line = f"rows: read {counts['read']:,}, trained on {counts['written']:,}"
    line += f", held out {held_out:,}, rejected {counts['rejected']:,}, failed {counts['failed']:,}"
    yield line
    for stage, reasons in counts["reasons"].items():
        for reason, number in sorted(reasons.items(), key=lambda item: -item[1]):
            yield f"  {stage}: {reason} {number:,}"
    if counts["truncated"]:
        cut, lost = counts["truncated"], counts["tokens_cut"]
        yield f"  truncated: {cut:,} rows lost {lost:,} tokens"
    if counts["turns_left_out"]:
        yield (
            f"  masked: {counts['turns_left_out']:,} earlier turns of the assistant, which the "
            "template renders differently after later turns"
        )
    tokens, supervised = counts["tokens"].get("train", 0), counts["targets"].get("train", 0)
    yield (
        f"tokens: {tokens:,} per epoch, {supervised:,} of them supervised "
        f"({_format_share(supervised, tokens)}); the longest row has {counts['longest']:,}"
    )
    if counts["images"]:
        yield f"images: {counts['images']:,}"


def _group_lines(by: dict[str, dict[str, dict[str, int]]]) -> Iterator[str]:
    table = [["", "rows", "tokens", "", "supervised"]]
    for field, groups in by.items():
        ordered = sorted(groups.items(), key=lambda item: -item[1]["tokens"])
        total = sum(group["tokens"] for group in groups.values())
        if rest := ordered[MAX_GROUPS:]:
            summed = {key: sum(group[key] for _, group in rest) for key in rest[0][1]}
            ordered = [*ordered[:MAX_GROUPS], (f"of {len(rest):,} others", summed)]
        for name, group in ordered:
            share = _format_share(group["tokens"], total)
            rows, tokens, supervised = (f"{group[key]:,}" for key in ("rows", "tokens", "targets"))
            table.append([f"{field} {name}", rows, tokens, share, supervised])
    yield from _table(table)


def _step_lines(plan: "TrainPlan") -> Iterator[str]:
    recipe = plan.recipe
    data, tuning = recipe.data, recipe.tuning
    unit = "sequences" if data.packing else "rows"
    if data.packing:
        yield (
            f"packing: {plan.training_rows:,} rows in {plan.sequences:,} sequences of "
            f"{data.length:,} tokens, {plan.token_efficiency:.1%} filled"
        )
    else:
        padding = 1 - plan.token_efficiency
        yield f"padding: rows grouped by length; {padding:.1%} of the tokens are padding"
    epochs = f"{tuning.epochs:g} epochs" if tuning.max_steps is None else "--max-steps"
    yield f"steps: {plan.steps:,} ({plan.steps_per_epoch:,} per epoch, {epochs})"
    batch = f"batch: {plan.sequences_per_step:,} {unit} per step"
    if data.packing:
        batch += (
            f", on average {plan.rows_per_step:,.1f} rows and {plan.tokens_per_step:,.0f} tokens"
        )
    else:
        batch += f", on average {plan.tokens_per_step:,.0f} tokens"
    yield batch
    micro_batch = tuning.micro_batch or 1
    ranks = f"ranks: {plan.ranks}, each up to {micro_batch} {unit} at once, "
    ranks += f"{plan.gradient_accumulation_steps} times per step"
    if plan.utilization < 1:
        ranks += f"; {1 - plan.utilization:.0%} of that idle: another --batch-size would fill it"
    yield ranks


def _memory_lines(plan: "TrainPlan") -> Iterator[str]:
    table = [["memory per rank, GiB", "state", "activations", "total", ""]]
    for estimate in plan.memory_estimates or ():
        sizes = (estimate.state, estimate.activations, estimate.total)
        chosen = "chosen" if estimate.stage == plan.stage else ""
        table.append([f"ZeRO {estimate.stage}", *(f"{n / GIB:,.2f}" for n in sizes), chosen])
    yield from _table(table)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = [name.ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  " + "  ".join(line).rstrip()


def _format_share(part: int, total: int) -> str:
    return f"{part / total:.1%}" if total else "none"


def mask_lines(example: "Example", encoder: "Encoder") -> Iterator[str]:
    """Yield a row's text with its loss mask: ``+`` supervised text, ``|`` text without loss.

    Coloured on a terminal, unless NO_COLOR is set.
    """
    supervised = int(example.loss_mask.sum())
    yield f"row {example.row_id}: {len(example.ids):,} tokens, {supervised:,} supervised"
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for is_supervised, text in mask_segments(example, encoder):
        sign = "+" if is_supervised else "|"
        for part in text.split("\n"):
            line = f"  {sign} {part}"
            yield (
                click.style(line, fg="green" if is_supervised else None, dim=not is_supervised)
                if colours
                else line
            )


def mask_segments(example: "Example", encoder: "Encoder") -> Iterator[tuple[bool, str]]:
    """Yield the segments of a row's text: whether the segment is supervised, and its text.

    A segment is decoded with the token before it: some tokenizers drop a first token's space.
    """
    ids, mask = example.ids.tolist(), example.loss_mask.tolist()
    start = 0
    for end in range(1, len(ids) + 1):
        if end < len(ids) and mask[end] == mask[start]:
            continue
        before = ids[max(start - 1, 0) : start]
        yield mask[start], encoder.decode(before + ids[start:end])[len(encoder.decode(before)) :]
        start = end
