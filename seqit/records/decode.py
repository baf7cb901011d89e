"""Strict JSON decoding: a value, or a RowError that says what is wrong with the text."""

import json
from typing import Any

import orjson

from seqit.errors import RowError

MAX_DEPTH = 254
"""Levels of nested lists and objects that orjson can write; it reads more."""

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels; flatten it"


def decode(line: bytes) -> Any:
    """Decode one row; raises RowError if JSON decoders disagree about it or would lose data.

    Refused, besides syntax errors: duplicate keys (RFC 8259 leaves open which one counts), whole
    numbers beyond 64 bits (they would lose digits), nesting beyond MAX_DEPTH.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RowError(_explain(line, error)) from None
    try:
        # A row that seqit or orjson wrote encodes to the same bytes again: nothing was dropped.
        # This is exact, and five times cheaper than a walk through the value.
        if orjson.dumps(value) == line:
            return value
    except TypeError:  # nesting is the only thing that orjson reads and cannot write
        raise RowError(_TOO_DEEP) from None
    strings = _count_strings(value)
    quotes = line.count(b'"')
    if b"\\" in line:
        quotes -= line.count(b'\\"')
    # Each key and each text has two quotes. If the value has fewer, a key occurs twice. An escaped
    # backslash before a quote also leads to the exact check, and passes it.
    if quotes != 2 * strings:
        json.loads(line, object_pairs_hook=_unique_keys, parse_int=_parse_int_64)
    return value


_CHECK_EXACTLY = -(1 << 60)  # a count that no line has, so that the exact check is done


def _count_strings(value: Any) -> int:
    """Count the keys and the texts in a value."""
    if isinstance(value, str):
        return 1
    if isinstance(value, dict):
        total = len(value)
        for item in value.values():
            total += 1 if type(item) is str else _count_strings(item)
        return total
    if isinstance(value, list):
        return sum(_count_strings(item) for item in value)
    if isinstance(value, float) and abs(value) >= 2**63:
        return _CHECK_EXACTLY  # 1e300, or a whole number whose digits the fast decoder rounded
    return 0


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        earlier: set[str] = set()
        for key, _ in pairs:
            if key in earlier:
                raise RowError(f"the key {key!r} stands twice in one object; keep one", key)
            earlier.add(key)
    return found


def _parse_int_64(digits: str) -> int:
    # The length first: Python refuses to convert numbers of thousands of digits.
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise RowError("a whole number needs more than 64 bits and would lose digits; quote it")
    return number


def _explain(line: bytes, error: orjson.JSONDecodeError) -> str:
    """Return a message that says why the line is not JSON."""
    if b"\0" in line:
        return f"NUL byte at column {line.index(0) + 1}: the file is damaged, or is not UTF-8 text"
    try:
        text = line.decode()
    except UnicodeDecodeError as bad:
        return not_utf8_message(line, bad)
    if "limit" in error.msg:  # Python's own decoder may go deeper (3.13)
        return _TOO_DEEP
    return _explain_text(text) or f"not JSON that others can read: {error.msg}"


def not_utf8_message(line: bytes, error: UnicodeDecodeError) -> str:
    """Return a message that names the byte that is not UTF-8, and says what to do about it."""
    return (
        f"byte 0x{line[error.start]:02x} at column {error.start + 1} is not UTF-8; "
        "convert the file, for example with: iconv -f LATIN1 -t UTF-8"
    )


def _explain_text(text: str) -> str | None:
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=_parse_int_64)
    except RowError as refused:
        return str(refused)
    except RecursionError:
        return _TOO_DEEP
    except json.JSONDecodeError as syntax:
        if syntax.pos >= len(text.rstrip()) or "Unterminated string" in syntax.msg:
            return "not whole JSON: the row is cut off (one row must stand on one line)"
        near = text[syntax.pos : syntax.pos + 12]
        return f"not JSON at column {syntax.pos + 1}, at {near!r}: {syntax.msg}"
    return None


def _refuse_constant(name: str) -> None:
    raise RowError(f"{name} is not JSON; write null, or leave the field out")
