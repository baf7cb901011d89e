"""Bytes that memory need not hold: one temporary file that only grows."""

import os
import tempfile
import weakref
from typing import IO

_PENDING = 1 << 20


class Spill:
    """A temporary file, made with the first bytes; no name leads to it, so that none is left."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._pending = bytearray()

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Add bytes; returns the place to read them from."""
        place = self._written + len(self._pending)
        if len(data) >= _PENDING:
            self._flush()
            self._write(data)
            return place
        self._pending += data
        if len(self._pending) >= _PENDING:
            self._flush()
        return place

    def read(self, place: int, size: int) -> bytes:
        """Return bytes that `append` was given, or a part of them."""
        if self._file is None or place >= self._written:
            start = place - self._written
            return bytes(self._pending[start : start + size])
        return os.pread(self._file.fileno(), size, place)

    def _flush(self) -> None:
        self._write(self._pending)
        self._pending = bytearray()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="seqit-filter-", buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written += len(data)
