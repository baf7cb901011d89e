"""Values between two cells: as JSON, of plain kinds alone, so that reading one runs no code."""

import json
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST_BYTES = 8 << 20
"""Of one message."""


class PipeClosed(Exception):
    """The other side is gone, or says too much or nothing that can be read."""


class OpaqueValue:
    """Stands for a value that is of no plain kind: it equals nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class MessagePipe:
    """One JSON text a line, over two file descriptors."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._rest = b""

    def send(self, message: Any) -> None:
        """Send a message; raises PipeClosed where nobody reads."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._target, data) :]
        except OSError as error:
            raise PipeClosed(str(error)) from None

    def receive(self) -> Any:
        """Return the next message; raises PipeClosed."""
        parts = [self._rest]
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            part = os.read(self._source, 1 << 16)
            size += len(part)
            if not part:
                raise PipeClosed("the program ended before it returned")
            if size > MOST_BYTES:
                raise PipeClosed("the program returned more than can be read")
            parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise PipeClosed("the program sent what is no answer") from None


def pack(value: Any) -> Any:
    """Return a plain value as JSON: [kind, parts]; subclasses count as what they extend."""
    if value is None or isinstance(value, bool):
        return value
    for kind, parts in _PACKED.items():
        if isinstance(value, kind):
            return [kind.__name__, parts(value)]
    return ["foreign", type(value).__name__]


def _packed_all(values: Iterable[Any]) -> list[Any]:
    return [pack(value) for value in values]


_PACKED: dict[type, Callable[[Any], Any]] = {
    int: hex,
    float: lambda value: float(value).hex(),
    str: str.__str__,
    complex: lambda value: [pack(value.real), pack(value.imag)],
    bytes: bytes.hex,
    bytearray: lambda value: value.hex(),
    Fraction: str,
    Decimal: str,
    dict: lambda value: [[pack(key), pack(item)] for key, item in value.items()],
    list: _packed_all,
    tuple: _packed_all,
    set: _packed_all,
    frozenset: _packed_all,
}


def unpack(packed: Any) -> Any:
    """Return the value; raises PipeClosed where it is not what `pack` makes."""
    try:
        return _unpacked(packed)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError):
        raise PipeClosed("the program sent what is no value") from None


def _unpacked(packed: Any) -> Any:
    if packed is None or isinstance(packed, bool):
        return packed
    kind, parts = packed
    if kind == "complex":
        return complex(*map(_unpacked, parts))
    if kind == "dict":
        return {_unpacked(key): _unpacked(item) for key, item in parts}
    if kind in _COLLECTIONS:
        return _COLLECTIONS[kind](map(_unpacked, parts))
    return _SINGLE[kind](parts)


_COLLECTIONS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_SINGLE: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "str": str,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Fraction": Fraction,
    "Decimal": Decimal,
    "foreign": OpaqueValue,
}
