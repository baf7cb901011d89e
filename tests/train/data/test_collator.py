"""Packed rows do not see each other: not in the mask, not in the loss, not under checkpointing."""

import random
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

if not all(map(find_spec, ("torch", "transformers", "deepspeed", "peft"))):
    pytest.skip("seqit[train] is not installed", allow_module_level=True)

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import make_model
from support.training import random_rows, write_rows

from seqit.errors import SeqitError, UsageError
from seqit.train.data.collator import IGNORED, collate
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.loop.leakage import check_no_leakage
from seqit.train.model.loading import check_packable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def example(ids, targets=None):
    wanted = [True] * len(ids) if targets is None else targets
    return Example(np.array(ids, np.int32), np.array(wanted, bool), f"row-{ids[0]}")


A, B, C = example([5, 6, 7], [False, True, True]), example([8, 9]), example([10])


def lists(micro):
    tensors = micro.tensors.items()
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in tensors}


def test_packed_bins_have_positions_that_begin_again():
    micro = collate([[A, B], [C]], packed=True)
    assert lists(micro) == {
        "input_ids": [[5, 6, 7, 8, 9], [10, 0, 0, 0, 0]],
        "labels": [[-100, 6, 7, -100, 9], [-100] * 5],
        "position_ids": [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]],
    }
    assert (micro.targets, micro.tokens, micro.squares) == (3, 6, 9 + 4 + 1)


def test_rows_apart_have_no_positions_and_no_mask():
    micro = collate([[A], [B]], packed=False)
    assert lists(micro) == {
        "input_ids": [[5, 6, 7], [8, 9, 0]],
        "labels": [[-100, 6, 7], [-100, 9, -100]],
    }


def test_flash_attention_gets_one_row_and_where_each_example_ends():
    micro = collate([[A, B], [C]], packed=True, varlen=True)
    assert lists(micro) == {
        "input_ids": [[5, 6, 7, 8, 9, 10]],
        "labels": [[-100, 6, 7, -100, 9, -100]],
        "position_ids": [[0, 1, 2, 0, 1, 0]],
        "cu_seq_lens_q": [0, 3, 5, 6],
        "cu_seq_lens_k": [0, 3, 5, 6],
        "max_length_q": 3,
        "max_length_k": 3,
    }
    assert micro.tensors["cu_seq_lens_q"].dtype == torch.int32


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=4),
    st.booleans(),
)
@settings(deadline=None)
def test_nothing_is_lost_and_nothing_learnt_twice(sizes, varlen):
    rng = random.Random(0)
    bins = [
        [
            example([rng.randrange(1, 99) for _ in range(n)], [rng.random() < 0.6] * n)
            for n in s
        ]
        for s in sizes
    ]
    micro = collate(bins, packed=True, varlen=varlen)
    every = [each for examples in bins for each in examples]
    labels, ids = micro.tensors["labels"], micro.tensors["input_ids"]
    assert micro.tokens == sum(len(each.ids) for each in every)
    wanted = [int(t) for each in every for t in each.ids[1:][each.targets[1:]]]
    assert labels[labels != IGNORED].tolist() == wanted and micro.targets == len(wanted)
    assert (labels[micro.tensors["position_ids"] == 0] == IGNORED).all()
    assert ids.shape == labels.shape == micro.tensors["position_ids"].shape


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("model"))


def row_losses(model, rows):
    """Return each row's loss, and the gradient of their sum, row by row."""
    losses = []
    model.zero_grad()
    for row in rows:
        micro = collate([[row]], packed=False)
        loss = model(**micro.tensors, use_cache=False, num_items_in_batch=1).loss
        loss.backward()
        losses.append(loss.item())
    return losses, [p.grad.clone() for p in model.parameters()]


def packed_losses(model, bins):
    """Return each row's loss from one forward pass over the bins, and the gradient of the sum."""
    model.zero_grad()
    tensors = collate(bins, packed=True).tensors
    logits = model(input_ids=tensors["input_ids"], position_ids=tensors["position_ids"],
                   use_cache=False).logits  # fmt: skip
    losses, total = [], 0.0
    for number, examples in enumerate(bins):
        start = 0
        for each in examples:
            end = start + len(each.ids)
            loss = torch.nn.functional.cross_entropy(
                logits[number, start : end - 1], tensors["labels"][number, start + 1 : end],
                reduction="sum", ignore_index=IGNORED,
            )  # fmt: skip
            losses.append(loss.item())
            total = total + loss
            start = end
    total.backward()
    return losses, [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_each_rows_loss_and_gradient_is_the_same_packed_and_alone(folder, attention, checkpointing):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    rows = [example(ids, [i > 2 for i in range(len(ids))]) for ids in random_rows(11, seed=3)]
    bins = [rows[:6], rows[6:10], rows[10:]]
    alone, gradient = row_losses(model, rows)
    packed, summed = packed_losses(model, bins)
    assert packed == pytest.approx(alone, rel=1e-5)
    for mine, theirs in zip(summed, gradient, strict=True):
        assert (mine - theirs).abs().max() < 1e-4 * max(theirs.abs().max(), 1)
    # And in a mask that leaks, the losses are others: the test could have failed.
    tensors = collate(bins[:1], packed=True).tensors
    del tensors["position_ids"]
    leaking = model(**tensors, use_cache=False, num_items_in_batch=1).loss.item()
    assert abs(leaking - sum(alone[:6])) > 0.01


class Engine:
    """Stands for DeepSpeed's: calls the model, without what is in `dropped`."""

    def __init__(self, model, dropped=()):
        self.module = model
        self._dropped = dropped

    def __call__(self, **tensors):
        return self.module(**{k: v for k, v in tensors.items() if k not in self._dropped})


def test_a_run_checks_that_its_attention_keeps_rows_apart(folder, tmp_path):
    from transformers import AutoModelForCausalLM

    prepared = PreparedDataset.open(write_rows(tmp_path, random_rows(3)))
    model = AutoModelForCausalLM.from_pretrained(folder)

    def make(bins):
        return collate(bins, packed=True)

    check_no_leakage(Engine(model), prepared, make, "cpu")
    assert model.training
    with pytest.raises(SeqitError, match="packed rows of LlamaForCausalLM see each other"):
        check_no_leakage(Engine(model, ("position_ids",)), prepared, make, "cpu")


def test_models_that_would_mix_rows_are_not_packed():
    def positions(position_ids=None):
        pass

    def none(input_ids=None):
        pass

    check_packable(SimpleNamespace(forward=positions))
    with pytest.raises(UsageError, match="takes no positions, so rows cannot be packed; train it"):
        check_packable(SimpleNamespace(forward=none))
    with pytest.raises(UsageError, match="carries a state from row to row"):
        check_packable(SimpleNamespace(forward=positions, _is_stateful=True))
