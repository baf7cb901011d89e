"""SeenKeys returns the same on disk as a dictionary in memory."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.errors import UsageError
from seqit.filter import default_rules, parse_rule
from seqit.filter.dedup.seen_keys import SeenKeys
from seqit.filter.recipe import split_memory


@pytest.mark.parametrize("memory", [3_000, 40_000, 300_000])
def test_keys_are_found_in_memory_and_on_disk(memory):
    rng = random.Random(3)
    seen, expected = SeenKeys(memory), {}
    for number in range(6000):
        key = (
            rng.getrandbits(60)
            if rng.random() < 0.7
            else rng.choice([1, 2**60 - 1, *expected][:50])
        )
        assert seen.get(key) == expected.get(key)
        if key not in expected:
            expected[key] = f"row{number}" + "é" * (number % 5)
            seen.add(key, expected[key])
    assert len(seen._on_disk) >= (1 if memory > 100_000 else 10)
    assert {key: seen.get(key) for key in expected} == expected
    assert all(seen.get(rng.getrandbits(60)) is None for _ in range(2000))


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.integers(0, 2**64 - 1), st.text(max_size=5), max_size=60))
def test_any_keys_and_texts(entries):
    seen = SeenKeys(1_000)
    for key, text in entries.items():
        assert seen.get(key) is None
        seen.add(key, text)
    assert {key: seen.get(key) for key in entries} == entries


def test_memory_is_divided_among_stateful_rules():
    rules = [*default_rules(), parse_rule("near-duplicate"), parse_rule("length:max_words=5")]
    shared = {rule.name: str(rule) for rule in split_memory(rules, "300MB")}
    assert shared["exact-duplicate"] == "exact-duplicate:memory=150MB"
    assert shared["near-duplicate"] == "near-duplicate:memory=150MB"
    assert shared["length"] == "length:max_words=5"
    own = [parse_rule("near-duplicate:memory=2GB"), parse_rule("exact-duplicate")]
    assert list(map(str, split_memory(own, "300MB"))) == [
        "near-duplicate:memory=2GB",
        "exact-duplicate:memory=300MB",
    ]


@pytest.mark.parametrize("text", ["300", "much", "-1MB", "0.1MB"])
def test_memory_is_a_size(text):
    with pytest.raises(UsageError, match="a size such as 400MB"):
        split_memory(default_rules(), text)
