"""Messages between two workers: JSON of plain types only, so that decoding runs no code."""

import json
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_MESSAGE_BYTES = 8 << 20
"""The size limit of one message."""


class PipeClosed(Exception):
    """Raised when the other side is gone, or sends too much or something unreadable."""


class OpaqueValue:
    """Placeholder for a value of another type: it equals nothing but itself."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class MessagePipe:
    """Sends and receives one JSON text per line over two file descriptors."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._buffer = b""

    def send(self, message: Any) -> None:
        """Send a message; raises PipeClosed if the other end is closed."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._target, data) :]
        except OSError as error:
            raise PipeClosed(str(error)) from None

    def receive(self) -> Any:
        """Return the next message; raises PipeClosed."""
        parts = [self._buffer]
        size = len(self._buffer)
        while b"\n" not in parts[-1]:
            part = os.read(self._source, 1 << 16)
            size += len(part)
            if not part:
                raise PipeClosed("the program ended before it returned")
            if size > MAX_MESSAGE_BYTES:
                raise PipeClosed("the program returned more than can be read")
            parts.append(part)
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise PipeClosed("the program sent what is no answer") from None


def pack(value: Any) -> Any:
    """Encode a value as JSON: [type, parts]; a subclass is encoded as its plain base type."""
    if value is None or isinstance(value, bool):
        return value
    for kind, parts in _PACKERS.items():
        if isinstance(value, kind):
            return [kind.__name__, parts(value)]
    return ["foreign", type(value).__name__]


def _pack_all(values: Iterable[Any]) -> list[Any]:
    return [pack(value) for value in values]


_PACKERS: dict[type, Callable[[Any], Any]] = {
    int: hex,
    float: lambda value: float(value).hex(),
    str: str.__str__,
    complex: lambda value: [pack(value.real), pack(value.imag)],
    bytes: bytes.hex,
    bytearray: lambda value: value.hex(),
    Fraction: str,
    Decimal: str,
    dict: lambda value: [[pack(key), pack(item)] for key, item in value.items()],
    list: _pack_all,
    tuple: _pack_all,
    set: _pack_all,
    frozenset: _pack_all,
}


def unpack(packed: Any) -> Any:
    """Decode a value that `pack` encoded; raises PipeClosed if it is anything else."""
    try:
        return _unpack(packed)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError):
        raise PipeClosed("the program sent what is no value") from None


def _unpack(packed: Any) -> Any:
    if packed is None or isinstance(packed, bool):
        return packed
    kind, parts = packed
    if kind == "complex":
        return complex(*map(_unpack, parts))
    if kind == "dict":
        return {_unpack(key): _unpack(item) for key, item in parts}
    if kind in _COLLECTIONS:
        return _COLLECTIONS[kind](map(_unpack, parts))
    return _SCALARS[kind](parts)


_COLLECTIONS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_SCALARS: dict[str, Any] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "str": str,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Fraction": Fraction,
    "Decimal": Decimal,
    "foreign": OpaqueValue,
}
