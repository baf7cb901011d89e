"""Sources: files or standard input; compression and Parquet are detected from their content."""

import contextlib
import os
import select
import sys
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError

STDIN = "-"
STDIN_NAME = "<stdin>"
CHUNK = 1 << 18
_SLICE = 1 << 12  # compressed bytes decoded at a time: zeros may expand thirty-thousandfold
_PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class BrokenSource(SeqitError):
    """Raised when a source ends early or cannot be read further; what came before is valid."""


class SourceStream:
    """One open source: its decompressed bytes, chunk by chunk as they arrive.

    `before_read` is called before each read that may block, so that the results of earlier rows
    can be flushed first. Raises SeqitError if the file cannot be opened.
    """

    def __init__(self, name: str, before_read: Callable[[], None] | None = None) -> None:
        self.path = None if name == STDIN else Path(name)
        self.name = STDIN_NAME if name == STDIN else name
        self.before_read = before_read
        self._file = _open(name)
        self._chunks = self._read()
        self._first = _head(self._chunks)
        magic = next((m for m in _DECODERS if self._first.startswith(m)), None)
        self.is_compressed = magic is not None
        if magic:
            self._chunks = _decompress(self._first, self._chunks, magic)
            self._first, self._error = _head_or_error(self._chunks)
        else:
            self._error = None
        self.is_parquet = self._first.startswith(_PARQUET)

    @property
    def start(self) -> bytes:
        """The first bytes of the content without a byte order mark; empty for an empty source."""
        return self._first.removeprefix(_BOM)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content; can be iterated only once. Raises BrokenSource if it is incomplete."""
        if self._error:
            raise self._error
        if self._first.startswith(_UTF16):
            raise BrokenSource(
                "the file is UTF-16, not UTF-8; convert it, for example with: "
                "iconv -f UTF-16 -t UTF-8"
            )
        if self.start:
            yield self.start
        yield from self._chunks

    def _read(self) -> Iterator[bytes]:
        while True:
            if self.before_read:
                self.before_read()
            try:
                # Unbuffered: returns what is available, and does not wait until the chunk is full.
                chunk = self._file.read(CHUNK)
            except OSError as error:
                raise BrokenSource(f"reading failed: {error.strerror}") from None
            if chunk is None:  # no data yet, and another process made the pipe non-blocking
                select.select([self._file], [], [])
                continue
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.path:
            self._file.close()


@contextlib.contextmanager
def open_source(name: str, before_read: Callable[[], None] | None = None) -> Iterator[SourceStream]:
    """Open a source for the duration of a block."""
    source = SourceStream(name, before_read)
    try:
        yield source
    finally:
        source.close()


def check_sources(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sources to read: standard input if none is named.

    Raises SeqitError, before the first row is read, if a file does not exist or is not readable.
    """
    if names.count(STDIN) > 1:
        raise SeqitError("standard input (-) is named twice; it can be read once")
    for name in names:
        if name != STDIN:
            _check_file(name)
    if STDIN in (names or (STDIN,)) and sys.stdin.isatty():
        raise SeqitError("nothing to read: name a SOURCE, or pipe rows into standard input")
    return names or (STDIN,)


def _check_file(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        example = next(iter(sorted(path.glob("*.*"))), path / "rows.jsonl")
        raise SeqitError(f"{name} is a directory; name the files in it, such as {example}")
    if not path.exists():
        raise SeqitError(f"{name}: no such file")
    if not os.access(path, os.R_OK):
        raise SeqitError(f"{name}: no permission to read it")


def _open(name: str) -> FileIO:
    try:
        if name == STDIN:
            # Not sys.stdin: a thread that waits for rows would hold its buffer's lock and keep
            # Python from exiting.
            return open(0, "rb", buffering=0, closefd=False)
        return Path(name).open("rb", buffering=0)
    except OSError as error:
        raise SeqitError(f"{name}: {error.strerror}") from None


def _gzip() -> Any:
    return zlib.decompressobj(wbits=31)


def _zstd() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


_DECODERS = {b"\x1f\x8b": _gzip, b"\x28\xb5\x2f\xfd": _zstd}


def _decompress(first: bytes, rest: Iterator[bytes], magic: bytes) -> Iterator[bytes]:
    """Yield the decompressed content of one or several gzip members or zstd frames."""
    decoder = None
    chunk = first
    while chunk or (chunk := next(rest, b"")):
        if decoder is None:
            while len(chunk) < len(magic) and (more := next(rest, b"")):
                chunk += more
            if not chunk.startswith(magic):
                if chunk.strip(b"\0"):
                    raise BrokenSource("data that is not compressed follows the compressed data")
                return  # tape padding, which gzip ignores too
            decoder = _DECODERS[magic]()
        try:
            content = decoder.decompress(chunk[:_SLICE])
        except Exception as error:  # zlib.error, zstandard.ZstdError: no common ancestor
            raise BrokenSource(f"the compressed data is damaged: {error}") from None
        chunk = chunk[_SLICE:]
        if decoder.eof:
            chunk = decoder.unused_data + chunk
            decoder = None
        if content:
            yield content
    if decoder is not None:
        raise BrokenSource("the compressed data ends before its end marker: is the file complete?")


def _head(chunks: Iterator[bytes]) -> bytes:
    """Return enough of the beginning to detect the type: four bytes, not all white space."""
    head = b""
    for chunk in chunks:
        head += chunk
        if (len(head) >= 4 and not head.removeprefix(_BOM).isspace()) or len(head) > CHUNK:
            break
    return head


def _head_or_error(chunks: Iterator[bytes]) -> tuple[bytes, BrokenSource | None]:
    """Return the head, or the error that is to be raised when the content is read."""
    try:
        return _head(chunks), None
    except BrokenSource as error:
        return b"", error
