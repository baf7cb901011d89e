"""Packing: every row is in one sequence, no sequence is too long, and little space is wasted."""

import random
from collections import Counter

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
from hypothesis import given
from hypothesis import strategies as st
from support.chat_templates import FAMILIES, make_tokenizer

from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.train.data.chat_encoder import TextEncoder
from seqit.train.data.packing import efficiency, pack

LENGTHS = st.lists(st.integers(1, 64), max_size=60)


def best_fit_decreasing(lengths, length):
    """The reference: look at every open bin, and return how often each content occurs."""
    free, rows = [], []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        fitting = [number for number, space in enumerate(free) if space >= lengths[row]]
        if not fitting:
            free.append(length)
            rows.append([])
            fitting = [len(free) - 1]
        chosen = min(fitting, key=lambda number: free[number])
        free[chosen] -= lengths[row]
        rows[chosen].append(lengths[row])
    return Counter(tuple(each) for each in rows)


@given(LENGTHS)
def test_every_row_is_in_one_bin(lengths):
    bins = pack(lengths, 64)
    assert sorted(row for each in bins for row in each) == list(range(len(lengths)))
    assert all(0 < sum(lengths[row] for row in each) <= 64 for each in bins)
    assert pack(lengths, 64) == bins


@given(LENGTHS)
def test_rows_go_into_the_bin_with_the_least_space(lengths):
    bins = pack(lengths, 64)
    assert len(bins) == sum(best_fit_decreasing(lengths, 64).values())
    filled = Counter(sum(lengths[row] for row in each) for each in bins)
    assert filled == sum(
        (Counter({sum(k): n}) for k, n in best_fit_decreasing(lengths, 64).items()), Counter()
    )


@given(LENGTHS, st.randoms())
def test_the_number_of_bins_does_not_depend_on_the_order(lengths, rng):
    shuffled = list(lengths)
    rng.shuffle(shuffled)
    assert len(pack(shuffled, 64)) == len(pack(lengths, 64))


def test_a_small_case_by_hand():
    assert pack([3, 5, 2, 7, 1, 4], 8) == [[3, 4], [1, 0], [5, 2]]
    assert efficiency([3, 5, 2, 7, 1, 4], pack([3, 5, 2, 7, 1, 4], 8), 8) == 22 / 24
    assert pack([], 8) == []


@pytest.mark.parametrize("size", [0, 9])
def test_a_row_that_fits_nowhere_is_refused(size):
    with pytest.raises(ValueError, match=f"row 1 has {size} tokens, not 1 to 8"):
        pack([3, size], 8)


def test_a_million_rows_are_packed():
    rng = random.Random(0)
    lengths = [min(2048, max(5, int(rng.lognormvariate(5.2, 0.8)))) for _ in range(1_000_000)]
    assert efficiency(lengths, pack(lengths, 2048), 2048) > 0.999


@pytest.mark.slow
def test_flancot_fills_its_sequences(data, seqit):
    files = sorted((data / "flancot").glob("*.tsv"))
    rows = seqit("import", "--format", "flancot", *files).rows
    assert len(rows) > 30_000
    texts = [f"{row['instruction']}\n{row['output']}" for row in rows[::10]]
    tokenizer = make_tokenizer(FAMILIES["llama-3"], "words", texts, 8000)
    encoder = TextEncoder(tokenizer, ChatTemplate(None, None), "assistant", "flancot")
    lengths = [
        len(encoded.ids)
        for start in range(0, len(rows), 1024)
        for encoded in encoder.encode_all(rows[start : start + 1024])
    ]
    assert efficiency(lengths, pack(lengths, 2048), 2048) >= 0.98
