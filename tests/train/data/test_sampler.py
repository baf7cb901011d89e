"""The order of training: the same batches for any number of ranks, each row once an epoch."""

from dataclasses import replace
from itertools import chain

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.train.data.sampler import batches, deal, one_epoch
from seqit.train.recipe import Data, Tuning

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=80)
PACKED, LOOSE = Data(length=64), Data(length=64, packing=False)
DATA = st.sampled_from([PACKED, LOOSE])


def flat(bins):
    return list(chain.from_iterable(bins))


def shared(step):
    """All bins of a step, in the order in which the ranks compute them."""
    return [bin_ for micros in zip(*step, strict=True) for micro in micros for bin_ in micro]


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9), st.integers(1, 4))
def test_ranks_share_the_same_global_batch(lengths, data, batch, micro):
    tuning = Tuning(batch=batch, micro_batch=micro, epochs=2)
    one, two, four = (batches(lengths, tuning, data, ranks) for ranks in (1, 2, 4))
    assert len(one) == len(two) == len(four)
    for step in range(len(one)):
        bins = one.batch(step)
        for schedule, ranks in ((one, 1), (two, 2), (four, 4)):
            dealt = schedule.step(step)
            assert len(dealt) == ranks
            assert len({len(micros) for micros in dealt}) == 1
            assert all(len(each) <= micro for micros in dealt for each in micros)
            assert shared(dealt) == bins


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9))
def test_every_row_comes_once_an_epoch(lengths, data, batch):
    schedule = batches(lengths, Tuning(batch=batch, epochs=3), data, 2)
    assert len(schedule) == 3 * schedule.steps_per_epoch
    for epoch in range(3):
        steps = range(epoch * schedule.steps_per_epoch, (epoch + 1) * schedule.steps_per_epoch)
        rows = flat(flat(schedule.batch(step)) for step in steps)
        assert sorted(rows) == list(range(len(lengths)))


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 9))
def test_a_step_is_reached_without_those_before_it(lengths, data, batch):
    tuning = Tuning(batch=batch, epochs=2)
    schedule = batches(lengths, tuning, data, 2)
    whole = [schedule.step(step) for step in range(len(schedule))]
    for step in reversed(range(len(schedule))):
        assert batches(lengths, tuning, data, 2).step(step) == whole[step]


def test_bins_hold_no_more_than_the_length_and_few_are_needed():
    lengths = [10, 60, 30, 4, 34, 20, 44, 54]  # 256 together: four bins, full to the brim
    schedule = batches(lengths, Tuning(batch=2), PACKED, 1)
    assert schedule.bins_per_epoch == 4
    assert [sum(lengths[row] for row in each) for each in schedule.epoch(0)] == [64] * 4


@pytest.mark.parametrize("longest", [9, 40, 400])
def test_a_step_of_tokens_has_as_many_whatever_the_rows_are(longest):
    lengths = [1 + number % longest for number in range(40 * 512 * 2 // (longest + 1))]
    tuning = Tuning(batch_tokens=4096)
    packed = batches(lengths, tuning, Data(length=512), 1)
    assert packed.bins_per_step == 8
    loose = batches(lengths, tuning, LOOSE, 1)
    rows = flat(flat(loose.batch(step)) for step in range(loose.steps_per_epoch))
    assert sorted(rows) == list(range(len(lengths)))
    assert loose.bins_per_step == pytest.approx(4096 * len(lengths) / sum(lengths), abs=0.5)


def test_a_packed_step_has_as_many_rows_as_the_batch_says_on_average():
    lengths = [16] * 4000
    schedule = batches(lengths, Tuning(batch=128), PACKED, 1)
    assert schedule.bins_per_step == 32
    assert len(flat(schedule.batch(0))) == 128
    assert schedule.steps_per_epoch == 32
    assert len(schedule.batch(31)) == 8  # the rest of the epoch, none of it dropped


def test_an_epoch_has_another_order_and_other_neighbours_than_the_one_before():
    lengths = [16] * 400
    for data in (PACKED, LOOSE):
        schedule = batches(lengths, Tuning(batch=40), data, 1)
        assert schedule.epoch(0) != schedule.epoch(1)
        assert sorted(map(sorted, schedule.epoch(0))) != sorted(map(sorted, schedule.epoch(1))) or (
            data is LOOSE
        )


def test_the_seed_decides_the_order():
    lengths = list(range(1, 65))
    first, again, other = (
        batches(lengths, Tuning(batch=8, seed=seed), LOOSE, 1).epoch(0) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_rows_that_are_not_packed_go_with_those_of_their_length():
    lengths = [1 + (7 * number) % 64 for number in range(640)]
    schedule = batches(lengths, Tuning(batch=10), LOOSE, 1)
    spread = [
        max(lengths[row] for (row,) in schedule.batch(step))
        - min(lengths[row] for (row,) in schedule.batch(step))
        for step in range(schedule.steps_per_epoch)
    ]
    assert sum(spread) / len(spread) < 3  # by chance it would be about 52
    firsts = [lengths[schedule.batch(step)[0][0]] for step in range(20)]
    assert firsts != sorted(firsts)
    assert firsts != sorted(firsts, reverse=True)


def test_steps_of_the_run():
    lengths = [64] * 10
    for tuning, steps in (
        (Tuning(batch=4, epochs=2), 6),
        (Tuning(batch=4, epochs=0.5), 2),
        (Tuning(batch=4, max_steps=7), 7),
        (Tuning(batch=128), 3),
    ):
        assert len(batches(lengths, tuning, PACKED, 1)) == steps
    beyond = batches(lengths, Tuning(batch=4, max_steps=7), PACKED, 1)
    assert len(beyond.batch(6)) == 4  # of the third epoch


def test_micro_batches_are_as_few_and_as_even_as_can_be():
    bins = [[number] for number in range(9)]
    sizes = [[len(micro) for micro in rank] for rank in deal(bins, 4, 2)]
    assert sizes == [[3, 2], [2, 2]]
    assert [[len(micro) for micro in rank] for rank in deal(bins[:3], 1, 2)] == [[1, 1], [1, 0]]
    assert deal(bins[:1], 8, 4) == [[[[0]]], [[]], [[]], [[]]]


@settings(deadline=None)
@given(LENGTHS, DATA, st.integers(1, 4), st.integers(1, 4))
def test_an_evaluation_sees_every_row_once(lengths, data, micro, ranks):
    dealt = one_epoch(lengths, Tuning(micro_batch=micro), data, ranks)
    assert sorted(flat(shared(dealt))) == list(range(len(lengths)))
    assert len({len(micros) for micros in dealt}) == 1


def test_no_rows_are_no_schedule():
    with pytest.raises(ValueError, match="no rows"):
        batches([], Tuning(), PACKED, 1)


def test_micro_batch_and_ranks_change_nothing_but_the_dealing():
    lengths = list(range(1, 60))
    tuning = Tuning(batch=8)
    plain = batches(lengths, tuning, PACKED, 1)
    other = batches(lengths, replace(tuning, micro_batch=3), PACKED, 3)
    assert [plain.batch(s) for s in range(len(plain))] == [
        other.batch(s) for s in range(len(other))
    ]
