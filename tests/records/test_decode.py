"""Strict JSON decoding: a text is accepted unchanged, or refused with the reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.errors import RowError
from seqit.records.decode import MAX_DEPTH, decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_json_of_the_standard_library_decodes_to_the_same_value(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        line = text.encode()
    except UnicodeEncodeError:
        return
    try:
        assert decode(line) == json.loads(text)
    except RowError as error:
        assert "half of" in str(error) or "others can read" in str(error), error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a":1,"a":2}', "'a' stands twice"),
        (b'{"b": {"x": "1", "x": "2"}}', "'x' stands twice"),
        (b'[{"q":"\\\\","q":"\\""}]', "'q' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e400}', "not JSON that others can read"),
        (b'{"a":"\\ud800"}', "not JSON that others can read"),
        (b'{"a":123456789012345678901234567890}', "64 bits"),
        (b'{"a":' + b"9" * 5000 + b"}", "64 bits"),
        (b'{"a":"\xff"}', "byte 0xff at column 7"),
        (b'{"a":"\x00"}', "NUL byte at column 7"),
        (b'{"a":"b', "cut off"),
        (b'{"a":', "cut off"),
        (b"{'a': 1}", "not JSON at column 2"),
        (b"[" * 300 + b"]" * 300, "nested deeper than"),
        (b"[" * 5000 + b"]" * 5000, "nested deeper than"),
        (b'{"a":1} {"b":2}', "not JSON at column 9"),
    ],
)
def test_invalid_json_is_refused_with_the_reason(line, message):
    with pytest.raises(RowError, match=message):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":"\\\\","b":"say \\"a\\": 1"}',
        b'{"a": {"a": {"a": "a"}}}',
        b'{"\\"": 1, "\\\\": 2}',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'{"n": 18446744073709551615, "m": -9223372036854775808, "x": 1e300}',
    ],
)
def test_unusual_but_valid_rows_are_read(line):
    assert decode(line) == json.loads(line)
