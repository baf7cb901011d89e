"""The order of training: the same batches for any number of ranks, each row once an epoch."""

from dataclasses import replace
from itertools import chain

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.train.data.sampler import BatchSampler, one_epoch, split_over_ranks
from seqit.train.recipe import Data, Tuning

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=80)
PACKED, LOOSE = Data(length=64), Data(length=64, packing=False)
DATA = st.sampled_from([PACKED, LOOSE])


def flatten(lists):
    return list(chain.from_iterable(lists))


def merge_ranks(step):
    """Return all sequences of a step, in the order in which the ranks process them."""
    return [
        sequence
        for micro_batches in zip(*step, strict=True)
        for micro_batch_rows in micro_batches
        for sequence in micro_batch_rows
    ]


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9), st.integers(1, 4))
def test_ranks_share_the_same_global_batch(lengths, data, batch, micro_batch):
    tuning = Tuning(batch_size=batch, micro_batch=micro_batch, epochs=2)
    one, two, four = (BatchSampler(lengths, tuning, data, ranks) for ranks in (1, 2, 4))
    assert len(one) == len(two) == len(four)
    for step in range(len(one)):
        batch_rows = one.batch(step)
        for sampler, ranks in ((one, 1), (two, 2), (four, 4)):
            by_rank = sampler.micro_batches(step)
            assert len(by_rank) == ranks
            assert len({len(micro_batches) for micro_batches in by_rank}) == 1
            assert all(
                len(each) <= micro_batch for micro_batches in by_rank for each in micro_batches
            )
            assert merge_ranks(by_rank) == batch_rows


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9))
def test_every_row_comes_once_an_epoch(lengths, data, batch):
    sampler = BatchSampler(lengths, Tuning(batch_size=batch, epochs=3), data, 2)
    assert len(sampler) == 3 * sampler.steps_per_epoch
    for epoch in range(3):
        steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
        rows = flatten(flatten(sampler.batch(step)) for step in steps)
        assert sorted(rows) == list(range(len(lengths)))


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9))
def test_a_step_is_computed_without_the_steps_before_it(lengths, data, batch):
    tuning = Tuning(batch_size=batch, epochs=2)
    sampler = BatchSampler(lengths, tuning, data, 2)
    steps = [sampler.micro_batches(step) for step in range(len(sampler))]
    for step in reversed(range(len(sampler))):
        assert BatchSampler(lengths, tuning, data, 2).micro_batches(step) == steps[step]


def test_sequences_have_at_most_the_length_and_are_few():
    lengths = [10, 60, 30, 4, 34, 20, 44, 54]  # 256 in total: exactly four sequences
    sampler = BatchSampler(lengths, Tuning(batch_size=2), PACKED, 1)
    assert sampler.sequences_per_epoch == 4
    assert [sum(lengths[row] for row in each) for each in sampler.epoch(0)] == [64] * 4


@pytest.mark.parametrize("longest", [9, 40, 400])
def test_a_step_of_tokens_does_not_depend_on_the_rows(longest):
    lengths = [1 + number % longest for number in range(40 * 512 * 2 // (longest + 1))]
    tuning = Tuning(batch_tokens=4096)
    packed = BatchSampler(lengths, tuning, Data(length=512), 1)
    assert packed.sequences_per_step == 8
    loose = BatchSampler(lengths, tuning, LOOSE, 1)
    rows = flatten(flatten(loose.batch(step)) for step in range(loose.steps_per_epoch))
    assert sorted(rows) == list(range(len(lengths)))
    assert loose.sequences_per_step == pytest.approx(4096 * len(lengths) / sum(lengths), abs=0.5)


def test_a_packed_step_has_as_many_rows_as_the_batch_says_on_average():
    lengths = [16] * 4000
    sampler = BatchSampler(lengths, Tuning(batch_size=128), PACKED, 1)
    assert sampler.sequences_per_step == 32
    assert len(flatten(sampler.batch(0))) == 128
    assert sampler.steps_per_epoch == 32
    assert len(sampler.batch(31)) == 8  # the rest of the epoch is not dropped


def test_an_epoch_has_another_order_and_other_neighbours_than_the_one_before():
    lengths = [16] * 400
    for data in (PACKED, LOOSE):
        sampler = BatchSampler(lengths, Tuning(batch_size=40), data, 1)
        assert sampler.epoch(0) != sampler.epoch(1)
        assert sorted(map(sorted, sampler.epoch(0))) != sorted(map(sorted, sampler.epoch(1))) or (
            data is LOOSE
        )


def test_the_seed_decides_the_order():
    lengths = list(range(1, 65))
    first, again, other = (
        BatchSampler(lengths, Tuning(batch_size=8, seed=seed), LOOSE, 1).epoch(0)
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_rows_that_are_not_packed_are_grouped_by_length():
    lengths = [1 + (7 * number) % 64 for number in range(640)]
    sampler = BatchSampler(lengths, Tuning(batch_size=10), LOOSE, 1)
    ranges = [
        max(lengths[row] for (row,) in sampler.batch(step))
        - min(lengths[row] for (row,) in sampler.batch(step))
        for step in range(sampler.steps_per_epoch)
    ]
    assert sum(ranges) / len(ranges) < 3  # without grouping it would be about 52
    firsts = [lengths[sampler.batch(step)[0][0]] for step in range(20)]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


def test_steps_of_the_run():
    lengths = [64] * 10
    for tuning, steps in (
        (Tuning(batch_size=4, epochs=2), 6),
        (Tuning(batch_size=4, epochs=0.5), 2),
        (Tuning(batch_size=4, max_steps=7), 7),
        (Tuning(batch_size=128), 3),
    ):
        assert len(BatchSampler(lengths, tuning, PACKED, 1)) == steps
    beyond = BatchSampler(lengths, Tuning(batch_size=4, max_steps=7), PACKED, 1)
    assert len(beyond.batch(6)) == 4  # of the third epoch


def test_micro_batches_are_few_and_even():
    sequences = [[number] for number in range(9)]

    def sizes(count, micro_batch):
        by_rank = split_over_ranks(sequences[:count], micro_batch, 2)
        return [[len(each) for each in micro_batches] for micro_batches in by_rank]

    assert sizes(9, 4) == [[3, 2], [2, 2]]
    assert sizes(3, 1) == [[1, 1], [1, 0]]
    assert split_over_ranks(sequences[:1], 8, 4) == [[[[0]]], [[]], [[]], [[]]]


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 4), st.integers(1, 4))
def test_an_evaluation_contains_every_row_once(lengths, data, micro_batch, ranks):
    by_rank = one_epoch(lengths, Tuning(micro_batch=micro_batch), data, ranks)
    assert sorted(flatten(merge_ranks(by_rank))) == list(range(len(lengths)))
    assert len({len(micro_batches) for micro_batches in by_rank}) == 1


def test_no_rows_are_an_error():
    with pytest.raises(ValueError, match="no rows"):
        BatchSampler([], Tuning(), PACKED, 1)


def test_micro_batch_and_ranks_do_not_change_the_global_batches():
    lengths = list(range(1, 60))
    tuning = Tuning(batch_size=8)
    plain = BatchSampler(lengths, tuning, PACKED, 1)
    other = BatchSampler(lengths, replace(tuning, micro_batch=3), PACKED, 3)
    assert [plain.batch(s) for s in range(len(plain))] == [
        other.batch(s) for s in range(len(other))
    ]
