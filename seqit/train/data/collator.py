"""Collate examples into the tensors of one forward pass: packed sequences, or padded rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqit.train.data.dataset import Example

IGNORE_INDEX = -100
"""The label of a token without loss."""


class MicroBatch(NamedTuple):
    """The input of one forward pass of one rank.

    tensors: the model's arguments, on the CPU; supervised_tokens: tokens with loss; tokens: of the
    examples, without padding; squared_lengths: the sum of the squared lengths of the examples.
    """

    tensors: dict[str, Any]
    supervised_tokens: int
    tokens: int
    squared_lengths: int


def collate(
    sequences: Sequence[Sequence[Example]], *, packed: bool, varlen: bool = False
) -> MicroBatch:
    """Return sequences of examples as tensors (sequences, longest sequence).

    varlen: concatenate all of them into one sequence, for FlashAttention.

    No attention mask is made. Packed examples are separated by position_ids that restart at 0:
    transformers derives the attention mask from them, and FlashAttention takes the same boundaries
    as `cu_seq_lens` (`varlen`). Padding is on the right, where causal attention never attends to
    it; in packed sequences it counts as a separate example. The first token of an example is never
    supervised: it would be predicted from the example before it.
    """
    import numpy as np
    import torch

    if varlen:
        sequences = [[example for examples in sequences for example in examples]]
    rows = [_concatenate(examples) for examples in sequences]
    width = max(len(row.ids) for row in rows)
    columns = [np.stack(column) for column in zip(*(_pad(r, width) for r in rows), strict=True)]
    tensors: dict[str, Any] = {
        "input_ids": torch.from_numpy(columns[0]),
        "labels": torch.from_numpy(columns[1]),
    }
    if packed:
        tensors["position_ids"] = torch.from_numpy(columns[2])
        if varlen:
            tensors |= _sequence_boundaries(sequences[0])
    supervised_tokens = int((columns[1] != IGNORE_INDEX).sum())
    lengths = [len(example.ids) for examples in sequences for example in examples]
    squared_lengths = sum(length**2 for length in lengths)
    return MicroBatch(tensors, supervised_tokens, sum(lengths), squared_lengths)


class _Row(NamedTuple):
    """One row of the batch: three arrays of the same length."""

    ids: Any
    labels: Any
    positions: Any


def _concatenate(examples: Sequence[Example]) -> _Row:
    import numpy as np

    ids = np.concatenate([np.asarray(example.ids, np.int64) for example in examples])
    loss_mask = np.concatenate([np.asarray(example.loss_mask, bool) for example in examples])
    positions = np.concatenate([np.arange(len(example.ids)) for example in examples])
    return _Row(ids, np.where(loss_mask & (positions > 0), ids, IGNORE_INDEX), positions)


def _pad(row: _Row, width: int) -> _Row:
    """Return the row padded to `width` with token 0, which every vocabulary has."""
    import numpy as np

    missing = width - len(row.ids)
    return _Row(
        np.concatenate([row.ids, np.zeros(missing, np.int64)]),
        np.concatenate([row.labels, np.full(missing, IGNORE_INDEX)]),
        np.concatenate([row.positions, np.arange(missing)]),
    )


def _sequence_boundaries(examples: Sequence[Example]) -> dict[str, Any]:
    """Return FlashAttention's arguments for examples in one sequence."""
    import torch

    lengths = [len(example.ids) for example in examples]
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    longest = max(lengths)
    return {
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }
