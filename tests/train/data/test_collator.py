"""Packed rows do not affect each other: in the mask, in the loss, and under checkpointing."""

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
from support.training import random_rows, write_prepared

from seqit.errors import SeqitError, UsageError
from seqit.train.data.collator import IGNORE_INDEX, collate
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.loop.leakage import check_no_leakage
from seqit.train.model.loading import check_packable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def example(ids, loss_mask=None):
    loss_mask = [True] * len(ids) if loss_mask is None else loss_mask
    return Example(np.array(ids, np.int32), np.array(loss_mask, bool), f"row-{ids[0]}")


A, B, C = example([5, 6, 7], [False, True, True]), example([8, 9]), example([10])


def lists(micro_batch):
    tensors = micro_batch.tensors.items()
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in tensors}


def test_packed_sequences_have_positions_that_restart():
    micro_batch = collate([[A, B], [C]], packed=True)
    assert lists(micro_batch) == {
        "input_ids": [[5, 6, 7, 8, 9], [10, 0, 0, 0, 0]],
        "labels": [[-100, 6, 7, -100, 9], [-100] * 5],
        "position_ids": [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]],
    }
    assert (micro_batch.supervised_tokens, micro_batch.tokens) == (3, 6)
    assert micro_batch.squared_lengths == 9 + 4 + 1


def test_unpacked_rows_have_no_positions_and_no_mask():
    micro_batch = collate([[A], [B]], packed=False)
    assert lists(micro_batch) == {
        "input_ids": [[5, 6, 7], [8, 9, 0]],
        "labels": [[-100, 6, 7], [-100, 9, -100]],
    }


def test_flash_attention_gets_one_row_and_the_boundaries_of_the_examples():
    micro_batch = collate([[A, B], [C]], packed=True, varlen=True)
    assert lists(micro_batch) == {
        "input_ids": [[5, 6, 7, 8, 9, 10]],
        "labels": [[-100, 6, 7, -100, 9, -100]],
        "position_ids": [[0, 1, 2, 0, 1, 0]],
        "cu_seq_lens_q": [0, 3, 5, 6],
        "cu_seq_lens_k": [0, 3, 5, 6],
        "max_length_q": 3,
        "max_length_k": 3,
    }
    assert micro_batch.tensors["cu_seq_lens_q"].dtype == torch.int32


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=4),
    st.booleans(),
)
@settings(deadline=None)
def test_every_supervised_token_has_one_label(sizes, varlen):
    rng = random.Random(0)
    sequences = [
        [example([rng.randrange(1, 99) for _ in range(n)], [rng.random() < 0.6] * n) for n in s]
        for s in sizes
    ]
    micro_batch = collate(sequences, packed=True, varlen=varlen)
    all_examples = [each for examples in sequences for each in examples]
    labels, ids = micro_batch.tensors["labels"], micro_batch.tensors["input_ids"]
    assert micro_batch.tokens == sum(len(each.ids) for each in all_examples)
    expected = [int(t) for each in all_examples for t in each.ids[1:][each.loss_mask[1:]]]
    assert labels[labels != IGNORE_INDEX].tolist() == expected
    assert micro_batch.supervised_tokens == len(expected)
    assert (labels[micro_batch.tensors["position_ids"] == 0] == IGNORE_INDEX).all()
    assert ids.shape == labels.shape == micro_batch.tensors["position_ids"].shape


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("model"))


def row_losses(model, rows):
    """Return the loss of each row, computed separately, and the gradient of their sum."""
    losses = []
    model.zero_grad()
    for row in rows:
        micro_batch = collate([[row]], packed=False)
        loss = model(**micro_batch.tensors, use_cache=False, num_items_in_batch=1).loss
        loss.backward()
        losses.append(loss.item())
    return losses, [p.grad.clone() for p in model.parameters()]


def packed_losses(model, sequences):
    """Return the loss of each row from one packed forward pass, and the gradient of their sum."""
    model.zero_grad()
    tensors = collate(sequences, packed=True).tensors
    logits = model(input_ids=tensors["input_ids"], position_ids=tensors["position_ids"],
                   use_cache=False).logits  # fmt: skip
    losses, total = [], 0.0
    for number, examples in enumerate(sequences):
        start = 0
        for each in examples:
            end = start + len(each.ids)
            loss = torch.nn.functional.cross_entropy(
                logits[number, start : end - 1], tensors["labels"][number, start + 1 : end],
                reduction="sum", ignore_index=IGNORE_INDEX,
            )  # fmt: skip
            losses.append(loss.item())
            total = total + loss
            start = end
    total.backward()
    return losses, [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_losses_and_gradients_are_the_same_packed_and_unpacked(folder, attention, checkpointing):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    rows = [example(ids, [i > 2 for i in range(len(ids))]) for ids in random_rows(11, seed=3)]
    sequences = [rows[:6], rows[6:10], rows[10:]]
    losses, gradients = row_losses(model, rows)
    packed, packed_gradients = packed_losses(model, sequences)
    assert packed == pytest.approx(losses, rel=1e-5)
    for actual, expected in zip(packed_gradients, gradients, strict=True):
        assert (actual - expected).abs().max() < 1e-4 * max(expected.abs().max(), 1)
    # With a mask that leaks, the losses differ, so this test can fail.
    tensors = collate(sequences[:1], packed=True).tensors
    del tensors["position_ids"]
    leaking = model(**tensors, use_cache=False, num_items_in_batch=1).loss.item()
    assert abs(leaking - sum(losses[:6])) > 0.01


class FakeEngine:
    """A DeepSpeed engine that calls the model without the arguments in `dropped`."""

    def __init__(self, model, dropped=()):
        self.module = model
        self._dropped = dropped

    def __call__(self, **tensors):
        return self.module(**{k: v for k, v in tensors.items() if k not in self._dropped})


def test_a_run_checks_that_its_attention_keeps_rows_apart(folder, tmp_path):
    from transformers import AutoModelForCausalLM

    prepared = PreparedDataset.open(write_prepared(tmp_path, random_rows(3)))
    model = AutoModelForCausalLM.from_pretrained(folder)

    def collate_packed(sequences):
        return collate(sequences, packed=True)

    check_no_leakage(FakeEngine(model), prepared, collate_packed, "cpu")
    assert model.training
    with pytest.raises(SeqitError, match="packed rows of LlamaForCausalLM attend to each other"):
        check_no_leakage(FakeEngine(model, ("position_ids",)), prepared, collate_packed, "cpu")


def test_models_that_would_mix_rows_are_not_packed():
    def with_positions(position_ids=None):
        pass

    def without_positions(input_ids=None):
        pass

    check_packable(SimpleNamespace(forward=with_positions))
    with pytest.raises(UsageError, match="takes no position_ids, so rows cannot be packed; train"):
        check_packable(SimpleNamespace(forward=without_positions))
    with pytest.raises(UsageError, match="would carry state from one packed row to the next"):
        check_packable(SimpleNamespace(forward=with_positions, _is_stateful=True))
