"""The records that share a band with a given one: hash tables in memory, and on disk past a limit.

A table is a few columns of numbers: for each band the heads of chains, for each record and band
its key there and the next record of the chain. A full table goes to the disk column by column and
is asked there by the same code. One bit for each key on the disk spares most of the questions.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct
from typing import NamedTuple, Protocol

from seqit.filter.minhash import SLOTS, Sketch
from seqit.filter.spill import Spill

_ENTRY = Struct(f"<QI{SLOTS}s")
_KEY_BITS = 32
_FIRST_BITS = 12  # of a number that names one of a band's chains, in a fresh table


class Entry(NamedTuple):
    """What a table knows of a record: which part of the spill tells more, and its signature."""

    place: int
    size: int
    signature: bytes


class _Column(Protocol):
    def __getitem__(self, index: int, /) -> int: ...


_Read = Callable[[int, int], bytes | bytearray]
"""Gives so many bytes from a place in the entries."""


class _Filed:
    """A column of 32-bit numbers on the disk."""

    def __init__(self, numbers: "array[int]", spill: Spill) -> None:
        self._spill = spill
        self._place = spill.append(memoryview(numbers).cast("B"))

    def __getitem__(self, index: int, /) -> int:
        return int.from_bytes(self._spill.read(self._place + 4 * index, 4), sys.byteorder)


class _Columns(NamedTuple):
    heads: _Column  # the first link of a chain
    keys: _Column  # of a link
    nexts: _Column  # the link after a link


class _Table:
    """Chains of records; a link is record * bands + band, and 0 ends a chain: records go from 1."""

    def __init__(self, bands: int, bits: int, columns: _Columns, entries: _Read) -> None:
        self._bands = bands
        self._read = entries
        self._set(bits, columns)

    def _set(self, bits: int, columns: _Columns) -> None:
        self._bits = bits
        self._columns = columns
        self._shift = _KEY_BITS - bits
        self._firsts = range(0, self._bands << bits, 1 << bits)  # each band's first chain

    def chains(self, keys: Iterable[int]) -> list[int]:
        """Return where the chains of the keys begin, one key a band."""
        shift = self._shift
        return [first + (key >> shift) for first, key in zip(self._firsts, keys, strict=True)]

    def find(self, keys: Sequence[int], chains: Iterable[int]) -> Iterator[Entry]:
        """Yield the records that have one of the keys in its chain, in their order."""
        heads, of, nexts = self._columns
        links = [heads[chain] for chain in chains]
        if not any(links):
            return
        found = set()
        for key, head in zip(keys, links, strict=True):
            link = head
            while link:
                if of[link] == key:
                    found.add(link // self._bands)
                link = nexts[link]
        for record in sorted(found):
            yield Entry._make(_ENTRY.unpack(self._read(_ENTRY.size * record, _ENTRY.size)))


class _OpenTable(_Table):
    """A table in memory, which takes in records."""

    def __init__(self, bands: int) -> None:
        self._heads = array("I", bytes(4 * bands << _FIRST_BITS))
        self._keys = array("I", bytes(4 * bands))
        self._nexts = array("I", bytes(4 * bands))
        self._entries = entries = bytearray(_ENTRY.size)
        columns = _Columns(self._heads, self._keys, self._nexts)
        # No method of its own: the circle would keep the memory of a table that was put away.
        super().__init__(
            bands, _FIRST_BITS, columns, lambda start, size: entries[start : start + size]
        )

    def __len__(self) -> int:
        return len(self._entries) // _ENTRY.size

    @property
    def _arrays(self) -> "tuple[array[int], array[int], array[int]]":
        return self._heads, self._keys, self._nexts

    @property
    def keys(self) -> Iterator[int]:
        return islice(self._keys, self._bands, None)

    def add(self, keys: Sequence[int], chains: Sequence[int], entry: bytes) -> None:
        """Take in a record with its keys, one a band, and their chains."""
        heads = self._heads
        self._nexts.extend([heads[chain] for chain in chains])
        for link, chain in enumerate(chains, start=len(self._keys)):
            heads[chain] = link
        self._keys.extend(keys)
        self._entries += entry

    def widen(self) -> bool:
        """Make twice as many chains where they are half full; tells whether it did."""
        if 2 * len(self) <= 1 << self._bits:
            return False
        self._bits += 1
        self._heads = array("I", bytes(4 * self._bands << self._bits))
        self._set(self._bits, _Columns(self._heads, self._keys, self._nexts))
        self._link()
        return True

    def filed(self, spill: Spill) -> _Table:
        """Return the same table on the disk."""
        columns = _Columns(*(_Filed(column, spill) for column in self._arrays))
        place = spill.append(self._entries)
        return _Table(
            self._bands, self._bits, columns, lambda start, size: spill.read(place + start, size)
        )

    def _link(self) -> None:
        """Link all records anew, a band at a time: each to the one before it in its chain."""
        import numpy as np

        heads, keys, nexts = (np.frombuffer(column, np.uint32) for column in self._arrays)
        for band, first in enumerate(self._firsts):
            links = np.arange(self._bands + band, len(keys), self._bands)
            chains = first + (keys[links] >> self._shift).astype(np.int64)
            order = np.argsort(chains, kind="stable")
            links, chains = links[order], chains[order]
            goes_on = chains[1:] == chains[:-1]
            nexts[links[1:]] = np.where(goes_on, links[:-1], 0)
            nexts[links[:1]] = 0
            heads[chains] = links  # of several, numpy keeps the last


class Index:
    """All records taken in, by the keys of their bands; holds about `memory` bytes at most."""

    def __init__(self, bands: int, memory: int, spill: Spill) -> None:
        self._bands = bands
        self._spill = spill
        self._open = _OpenTable(bands)
        self._filed: list[_Table] = []
        self._last: tuple[Sketch, list[int]] | None = None
        self._seen = bytearray()  # a bit for each key on the disk
        self._bits = 8 * (memory // 4)
        # At most four heads, a key and a next one; arrays grow by an eighth more than they need.
        most = memory * 3 // 4 * 8 // 9 // (bands * 6 * 4 + _ENTRY.size)
        self._most = min(max(1, most), (1 << _KEY_BITS) // bands - 2)

    def find(self, sketch: Sketch) -> Iterator[Entry]:
        """Yield the records that share a band, in the order in which they came."""
        keys = sketch.keys
        if self._filed and (
            likely := [band for band, key in enumerate(keys) if self._is_filed(key)]
        ):
            chosen = [keys[band] for band in likely]
            for table in self._filed:
                chains = table.chains(keys)
                yield from table.find(chosen, [chains[band] for band in likely])
        yield from self._open.find(keys, self._chains_of(sketch))

    def add(self, sketch: Sketch, place: int, size: int) -> None:
        """Take in a record, of which the spill holds `size` bytes at `place`."""
        entry = _ENTRY.pack(place, size, sketch.signature)
        self._open.add(sketch.keys, self._chains_of(sketch), entry)
        if len(self._open) > self._most:
            self._file()
        elif not self._open.widen():
            return
        self._last = None

    def _chains_of(self, sketch: Sketch) -> list[int]:
        """Return the open table's chains; most often a record is looked up and then added."""
        if self._last is None or self._last[0] is not sketch:
            self._last = sketch, self._open.chains(sketch.keys)
        return self._last[1]

    def _is_filed(self, key: int) -> int:
        bit = key * self._bits >> _KEY_BITS
        return self._seen[bit >> 3] >> (bit & 7) & 1

    def _file(self) -> None:
        """Put the table on the disk, and begin another."""
        seen, bits = self._seen or bytearray(self._bits // 8 + 1), self._bits
        for key in self._open.keys:
            bit = key * bits >> _KEY_BITS
            seen[bit >> 3] |= 1 << (bit & 7)
        self._seen = seen
        self._filed.append(self._open.filed(self._spill))
        self._open = _OpenTable(self._bands)
