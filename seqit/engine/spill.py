"""Bytes that need not stay in memory: one temporary file that only grows."""

import os
import tempfile
import weakref
from typing import IO

_BUFFER_SIZE = 1 << 20


class Spill:
    """An append-only temporary file, created with the first write; unnamed, so none is left."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._buffer = bytearray()

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Add bytes; returns the offset to read them from."""
        offset = self._written + len(self._buffer)
        if len(data) >= _BUFFER_SIZE:
            self._flush()
            self._write(data)
            return offset
        self._buffer += data
        if len(self._buffer) >= _BUFFER_SIZE:
            self._flush()
        return offset

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`; they must lie within one `append`."""
        if self._file is None or offset >= self._written:
            start = offset - self._written
            return bytes(self._buffer[start : start + size])
        return os.pread(self._file.fileno(), size, offset)

    def _flush(self) -> None:
        self._write(self._buffer)
        self._buffer = bytearray()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="seqit-filter-", buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._written += len(data)
