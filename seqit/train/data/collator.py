"""Examples become the tensors of one forward pass: packed bins, or padded rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqit.train.data.dataset import Example

IGNORED = -100
"""The label of a token that no loss is taken of."""


class MicroBatch(NamedTuple):
    """One forward pass of one rank.

    tensors: what the model takes, on the CPU; targets: tokens that the loss is taken of; tokens:
    those of the examples, without padding; squares: the sum of the squared lengths of examples.
    """

    tensors: dict[str, Any]
    targets: int
    tokens: int
    squares: int


def collate(bins: Sequence[Sequence[Example]], *, packed: bool, varlen: bool = False) -> MicroBatch:
    """Return the bins as tensors (bins, longest bin); of one bin after the other where `varlen`.

    No attention mask is made. Packed examples are told apart by positions that begin again at 0:
    transformers masks attention by them, and FlashAttention takes the same as `cu_seq_lens`
    (`varlen`). Padding stands on the right, where no token looks under causal attention, and is an
    example of its own where bins are packed. The first token of an example is never a target: it
    would be foretold from the example before.
    """
    import numpy as np
    import torch

    if varlen:
        bins = [[example for examples in bins for example in examples]]
    rows = [_row(examples) for examples in bins]
    width = max(len(row.ids) for row in rows)
    columns = [np.stack(column) for column in zip(*(_padded(r, width) for r in rows), strict=True)]
    tensors: dict[str, Any] = {
        "input_ids": torch.from_numpy(columns[0]),
        "labels": torch.from_numpy(columns[1]),
    }
    if packed:
        tensors["position_ids"] = torch.from_numpy(columns[2])
        if varlen:
            tensors |= _boundaries(bins[0])
    targets = int((columns[1] != IGNORED).sum())
    lengths = [len(example.ids) for examples in bins for example in examples]
    return MicroBatch(tensors, targets, sum(lengths), sum(length**2 for length in lengths))


class _Row(NamedTuple):
    """Three arrays of the same length."""

    ids: Any
    labels: Any
    positions: Any


def _row(examples: Sequence[Example]) -> _Row:
    import numpy as np

    ids = np.concatenate([np.asarray(example.ids, np.int64) for example in examples])
    targets = np.concatenate([np.asarray(example.targets, bool) for example in examples])
    positions = np.concatenate([np.arange(len(example.ids)) for example in examples])
    return _Row(ids, np.where(targets & (positions > 0), ids, IGNORED), positions)


def _padded(row: _Row, width: int) -> _Row:
    """Return the row with padding: token 0, which every vocabulary has and nothing looks at."""
    import numpy as np

    missing = width - len(row.ids)
    return _Row(
        np.concatenate([row.ids, np.zeros(missing, np.int64)]),
        np.concatenate([row.labels, np.full(missing, IGNORED)]),
        np.concatenate([row.positions, np.arange(missing)]),
    )


def _boundaries(examples: Sequence[Example]) -> dict[str, Any]:
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
