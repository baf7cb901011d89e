"""Checks, with the model and the kernels of the run, that packed rows do not see each other."""

from collections.abc import Callable
from typing import Any

from seqit.errors import SeqitError
from seqit.train.data.collator import MicroBatch
from seqit.train.data.dataset import Example, PreparedDataset

TOKENS = 64
"""Of each of two rows; enough for what leaks at all."""


def check_no_leakage(
    engine: Any, prepared: PreparedDataset, collate: Callable[..., MicroBatch], device: Any
) -> None:
    """Pack two rows, change the first, and compare what the model says about the second.

    Every rank calls it. Raises SeqitError where it says something else: where a mask is applied,
    the second row's numbers are the same but for rounding.
    """
    import torch

    if len(prepared) < 2:
        return
    first, second = (_short(prepared.example(row)) for row in (0, 1))
    other = first._replace(ids=(first.ids + 1) % engine.module.config.get_text_config().vocab_size)
    engine.module.eval()
    seen = []
    with torch.no_grad():
        for before in (first, other):
            tensors = collate([[before, second]]).tensors
            tensors = {k: v.to(device) if hasattr(v, "to") else v for k, v in tensors.items()}
            logits = engine(**tensors, use_cache=False).logits[0]
            seen.append(logits[len(first.ids) :].float())
    engine.module.train()
    difference = float((seen[0] - seen[1]).abs().max())
    if difference > 0.02 * float(seen[0].abs().max()):
        raise SeqitError(
            f"packed rows of {type(engine.module).__name__} see each other: a row's logits change "
            f"by {difference:.3g} with the row before it. Train it with packing: false "
            "(--no-packing), or another --attention"
        )


def _short(example: Example) -> Example:
    return example._replace(ids=example.ids[:TOKENS], targets=example.targets[:TOKENS])
