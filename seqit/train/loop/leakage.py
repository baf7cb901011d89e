"""Check, with the run's model and kernels, that packed rows do not attend to each other."""

from collections.abc import Callable
from typing import Any

from seqit.errors import SeqitError
from seqit.train.data.collator import MicroBatch
from seqit.train.data.dataset import Example, PreparedDataset

MAX_TOKENS = 64
"""Tokens of each of the two rows; enough to detect any leakage."""


def check_no_leakage(
    engine: Any, prepared: PreparedDataset, collate: Callable[..., MicroBatch], device: Any
) -> None:
    """Pack two rows, change the first, and compare the logits of the second.

    Called by every rank. Raises SeqitError if they differ: with a correct mask, the logits of the
    second row are the same up to rounding.
    """
    import torch

    if len(prepared) < 2:
        return
    first, second = (_shorten(prepared.example(row)) for row in (0, 1))
    vocab_size = engine.module.config.get_text_config().vocab_size
    changed = first._replace(ids=(first.ids + 1) % vocab_size)
    engine.module.eval()
    logits_of_second = []
    with torch.no_grad():
        for previous in (first, changed):
            tensors = collate([[previous, second]]).tensors
            tensors = {k: v.to(device) if hasattr(v, "to") else v for k, v in tensors.items()}
            logits = engine(**tensors, use_cache=False).logits[0]
            logits_of_second.append(logits[len(first.ids) :].float())
    engine.module.train()
    expected, actual = logits_of_second
    difference = float((expected - actual).abs().max())
    if difference > 0.02 * float(expected.abs().max()):
        raise SeqitError(
            f"packed rows of {type(engine.module).__name__} attend to each other: a row's logits "
            f"change by {difference:.3g} with the row before it. Train it with packing: false "
            "(--no-packing), or another --attention"
        )


def _shorten(example: Example) -> Example:
    return example._replace(ids=example.ids[:MAX_TOKENS], loss_mask=example.loss_mask[:MAX_TOKENS])
