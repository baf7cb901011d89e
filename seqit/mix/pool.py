"""The pool of all rows that a mixture is drawn from: the rows on disk, their lots in memory."""

import os
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Self

import orjson

from seqit.mix.plan import Target
from seqit.mix.tokens import Counter
from seqit.records.account import Row
from seqit.records.identity import draw

_BATCH = 256  # rows a tokenizer counts at once


class Pool:
    """Rows in one temporary file, and for each 36 bytes in memory to draw and order it by.

    A context manager: the file is gone when it ends.
    """

    def __init__(self, seed: int, counter: Counter) -> None:
        self._seed = seed
        self.counter = counter
        self._file = tempfile.TemporaryFile(prefix="seqit-mix-")  # noqa: SIM115 (closed in __exit__)
        self._size = 0
        self._starts = array("Q")  # where the row begins in the file
        self._tokens = array("I")
        self._lots = array("Q")  # the lowest lots of a source are drawn
        self._places = array("Q")  # the drawn rows stand in the order of their places
        self._sums = array("I")  # CRC-32: an order for rows of one id, whatever file they are in
        self.copies = array("I")  # how often the row is in the mixture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, rows: Iterable[Row]) -> tuple[range, int]:
        """Take in the rows of one source; returns their numbers in the pool, and their tokens."""
        first = len(self._starts)
        rest = iter(rows)
        while batch := list(islice(rest, _BATCH)):
            self._tokens.extend(self.counter.count([row.value for row in batch]))
            for row in batch:
                self._add(row)
        self.copies.extend(0 for _ in range(first, len(self._starts)))
        return range(first, len(self._starts)), sum(self._tokens[first:])

    def _add(self, row: Row) -> None:
        raw = row.raw if row.raw is not None else orjson.dumps(row.value)
        chance = draw(self._seed, row.value["id"], 0, "mix")
        self._lots.append(chance.getrandbits(64))
        self._places.append(chance.getrandbits(64))
        self._sums.append(zlib.crc32(raw))
        self._starts.append(self._size)
        self._size += self._file.write(orjson.dumps([row.source, row.line]) + b"\n" + raw)

    def choose(self, numbers: range, target: Target) -> tuple[int, int]:
        """Draw one source's part of the mixture; returns its rows and tokens.

        More than there is repeats every row first, and draws what is left; so no two rows of a
        source differ by more than one copy. A number of tokens is met within half a row.
        """
        tokens = self._tokens
        whole = len(numbers) if target.unit == "rows" else sum(tokens[i] for i in numbers)
        rounds, left = divmod(target.number, whole) if whole else (0, 0)
        for i in numbers:
            self.copies[i] = rounds
        for i in self._sorted(numbers, self._lots) if left else ():
            size = 1 if target.unit == "rows" else tokens[i]
            if size >= 2 * left:  # the next row would lead further away from the target
                break
            self.copies[i] += 1
            left -= size
        return (
            sum(self.copies[i] for i in numbers),
            sum(self.copies[i] * tokens[i] for i in numbers),
        )

    def chosen(self) -> Iterator[Row]:
        """Yield the drawn rows, shuffled; a repeated row once for each copy."""
        rows = (i for i in range(len(self.copies)) for _ in range(self.copies[i]))
        # As an array: a list would take ten times the memory during the second sort.
        ordered = array("I", self._sorted(rows, self._places))
        places = array("Q")
        nth = 0
        for position, i in enumerate(ordered):
            place = self._places[i]
            # Rows of one id drew one place. All but the first draw again, by their number among
            # them, so that copies and twins from two sources are scattered like other rows.
            nth = nth + 1 if position and place == self._places[ordered[position - 1]] else 0
            if nth:
                place = draw(self._seed, f"{place:016x}", nth, "mix").getrandbits(64)
            places.append(place)
        for position in sorted(range(len(ordered)), key=places.__getitem__):
            yield self.read(ordered[position])

    def _sorted(self, rows: Iterable[int], keys: "array[int]") -> list[int]:
        """Sort by the keys, and rows of equal keys by content: never by where they were read."""
        ordered = sorted(rows, key=self._sums.__getitem__)
        ordered.sort(key=keys.__getitem__)
        return ordered

    def read(self, number: int) -> Row:
        """Return one row as it came."""
        self._file.flush()
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        head, raw = os.pread(self._file.fileno(), end - start, start).split(b"\n", 1)
        source, line = orjson.loads(head)
        return Row(orjson.loads(raw), source, line, raw)
