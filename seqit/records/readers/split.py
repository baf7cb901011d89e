"""Splitting byte chunks into lines or JSON array elements, with at most one row in memory."""

import re
from collections.abc import Iterator

from seqit.errors import RowError
from seqit.stores.sources import BrokenSource

MAX_ROW = 8 << 20
"""Bytes of the longest row accepted, 8 MiB: a longer line is a file without line ends."""

RawPart = tuple[int, bytes | RowError]
"""Line number, from 1, and the row's bytes or why there are none."""


def split_lines(chunks: Iterator[bytes]) -> Iterator[list[RawPart]]:
    """Yield the lines that each chunk completes, without blank ones, with their numbers.

    A line over MAX_ROW is yielded as a RowError.
    """
    number = 1
    pieces: list[bytes] = []  # of the unfinished line
    size = 0
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        size += len(first)
        if size <= MAX_ROW:
            pieces.append(first)
        if not rest:
            continue
        found = _line(number, pieces, size)
        number += 1
        last = rest.pop()
        for line in rest:
            if line and not line.isspace():
                found.append((number, line))
            number += 1
        pieces, size = [last], len(last)
        yield found
    yield _line(number, pieces, size)


def _line(number: int, pieces: list[bytes], size: int) -> list[RawPart]:
    if size > MAX_ROW:
        return [(number, row_too_long(size))]
    line = b"".join(pieces)
    return [(number, line)] if line and not line.isspace() else []


def row_too_long(size: int) -> RowError:
    """Return the error for a row of `size` bytes, which is more than MAX_ROW."""
    return RowError(
        f"the row has {size:,} bytes; the longest accepted has {MAX_ROW:,} "
        "(JSONL needs one row a line: does the file have line ends?)"
    )


# A string (group 1 is empty if the end of the buffer cuts it off), or a structural character.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[\[\]{},]', re.DOTALL)
_OPEN, _CLOSE = frozenset(b"[{"), frozenset(b"]}")


class ArraySplitter:
    """Splits a JSON array into the bytes of its elements, without parsing them.

    An element that is not JSON still ends at its comma, so that the others can be read.
    """

    def __init__(self) -> None:
        self.buffer = b""
        self.number = 1  # line of the buffer's first byte
        self.begin = 0  # the element's first byte in the buffer
        self.scan = 0  # where to continue the search
        self.depth = 0
        self.closed = False

    def feed(self, chunk: bytes) -> Iterator[RawPart]:
        """Yield the elements that this chunk completes."""
        self.buffer = self.buffer[self.begin :] + chunk
        self.scan -= self.begin
        self.begin = 0
        while not self.closed and (token := _TOKEN.search(self.buffer, self.scan)):
            if token.group(1) == b"":
                self.scan = token.start()  # a string that continues in the next chunk
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
                "or a quotation mark is missing; the rest of the array cannot be read"
            )

    def _element(self, end: int) -> Iterator[RawPart]:
        text = self.buffer[self.begin : end].lstrip()
        self._advance(end - len(text))  # past the white space, whose lines are counted
        if text:
            yield self.number, text
        self._advance(end + 1)

    def _advance(self, position: int) -> None:
        self.number += self.buffer.count(b"\n", self.begin, position)
        self.begin = position


def split_array(chunks: Iterator[bytes]) -> Iterator[list[RawPart]]:
    """Yield the elements of a JSON array that each chunk completes, with their line numbers.

    Raises BrokenSource if the array is not closed, or something follows it.
    """
    splitter = ArraySplitter()
    for chunk in chunks:
        if splitter.closed:
            splitter.buffer += chunk
            continue
        found: list[RawPart] = []
        try:  # elements before the error are valid
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
