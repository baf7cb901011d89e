"""The compact table behaves as a dict does."""

from hypothesis import given
from hypothesis import strategies as st

from seqit.filter.seen import Seen

KEYS = (
    st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.sampled_from(range(0, 2**20, 1024))
)


@given(st.lists(st.tuples(KEYS, st.text(max_size=5))))
def test_seen_is_a_dict_with_setdefault(entries):
    seen, model = Seen(), {}
    for key, name in entries:
        assert seen.first(key, name) == model.get(key)
        model.setdefault(key, name)
    assert len(seen) == len(model)


def test_seen_grows():
    seen, count = Seen(), 20_000
    keys = [hash(str(n).encode()) for n in range(count)]
    assert all(seen.first(key, str(n)) is None for n, key in enumerate(keys))
    assert [seen.first(key, "again") for key in keys] == [str(n) for n in range(count)]
