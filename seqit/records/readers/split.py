"""Byte chunks become lines, or the elements of one JSON array; no more than a row is held."""

import re
from collections.abc import Iterator

from seqit.errors import RowError
from seqit.stores.sources import BrokenSource

MAX_ROW = 8 << 20
"""Bytes of the longest row accepted, 8 MiB: a longer line is a file without line ends."""

RawPart = tuple[int, bytes | RowError]
"""Line number, from 1, and the row's bytes or why there are none."""


def lines(chunks: Iterator[bytes]) -> Iterator[list[RawPart]]:
    """Yield the lines that each chunk completes, blank ones left out, with their numbers.

    A line over MAX_ROW comes as a RowError.
    """
    number = 1
    held: list[bytes] = []  # the unfinished line, in pieces
    size = 0
    for chunk in chunks:
        first, *whole = chunk.split(b"\n")
        size += len(first)
        if size <= MAX_ROW:
            held.append(first)
        if not whole:
            continue
        found = _line(number, held, size)
        number += 1
        last = whole.pop()
        for line in whole:
            if line and not line.isspace():
                found.append((number, line))
            number += 1
        held, size = [last], len(last)
        yield found
    yield _line(number, held, size)


def _line(number: int, pieces: list[bytes], size: int) -> list[RawPart]:
    if size > MAX_ROW:
        return [(number, too_long(size))]
    line = b"".join(pieces)
    return [(number, line)] if line and not line.isspace() else []


def too_long(size: int) -> RowError:
    """Return the error of a row of `size` bytes, where MAX_ROW are accepted."""
    return RowError(
        f"the row has {size:,} bytes; the longest accepted has {MAX_ROW:,} "
        "(JSONL needs one row a line: does the file have line ends?)"
    )


# A whole string (with an empty group 1 where it is cut off by the end of the buffer), or one of
# the characters that open and close.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[\[\]{},]', re.DOTALL)
_OPEN, _CLOSE = frozenset(b"[{"), frozenset(b"]}")


class ArraySplitter:
    """Splits a JSON array into the bytes of its elements, without parsing them.

    An element that is not JSON still ends at its comma, so that its neighbours survive.
    """

    def __init__(self) -> None:
        self.buffer = b""
        self.number = 1  # line of the buffer's first byte
        self.begin = 0  # the element's first byte in the buffer
        self.scan = 0  # where to go on looking
        self.depth = 0
        self.closed = False

    def feed(self, chunk: bytes) -> Iterator[RawPart]:
        """Yield the elements that this chunk completes."""
        self.buffer = self.buffer[self.begin :] + chunk
        self.scan -= self.begin
        self.begin = 0
        while not self.closed and (token := _TOKEN.search(self.buffer, self.scan)):
            if token.group(1) == b"":
                self.scan = token.start()  # a string that goes on in the next chunk
                break
            self.scan = token.end()
            character = self.buffer[token.start()]
            if character in _OPEN:
                self.depth += 1
                if self.depth == 1:
                    self._advance(self.scan)
            elif character in _CLOSE:
                if self.depth == 1 and character == ord("]"):
                    yield from self._element(token.start())
                    self.closed = True
                self.depth = max(self.depth - 1, 1)
            elif character == ord(",") and self.depth == 1:
                yield from self._element(token.start())
        else:
            self.scan = len(self.buffer)
        if len(self.buffer) - self.begin > MAX_ROW:
            raise BrokenSource(
                f"an element of the JSON array has over {MAX_ROW:,} bytes, "
                "or a quotation mark is missing; what follows cannot be told apart"
            )

    def _element(self, end: int) -> Iterator[RawPart]:
        text = self.buffer[self.begin : end].lstrip()
        self._advance(end - len(text))  # over the white space, whose lines count
        if text:
            yield self.number, text
        self._advance(end + 1)

    def _advance(self, position: int) -> None:
        self.number += self.buffer.count(b"\n", self.begin, position)
        self.begin = position


def elements(chunks: Iterator[bytes]) -> Iterator[list[RawPart]]:
    """Yield the elements of a JSON array that each chunk completes, with their first lines.

    Raises BrokenSource where the array is not closed, or something follows it.
    """
    splitter = ArraySplitter()
    for chunk in chunks:
        if splitter.closed:
            splitter.buffer += chunk
            continue
        found: list[RawPart] = []
        try:  # what comes before a break is good
            for part in splitter.feed(chunk):
                found.append(part)  # noqa: PERF402
        except BrokenSource:
            yield found
            raise
        yield found
    if not splitter.closed:
        raise BrokenSource("the JSON array is not closed with ']': the file is cut off")
    if splitter.buffer[splitter.begin :].strip():
        raise BrokenSource("something follows the end of the JSON array")
