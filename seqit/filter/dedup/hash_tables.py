"""Hash tables of records by their keys, one a band; `lsh` keeps one in memory and others on disk.

A table is a few columns of numbers: for each band the heads of chains, for each record and band
its key there and the next record of the chain, and for each record its entry. A link of a chain
is record * bands + band, and 0 ends it: records count from 1.
"""

import sys
from array import array
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.engine.spill import Spill
from seqit.filter.dedup.minhash import SLOTS

if TYPE_CHECKING:
    from numpy import int64, uint8, uint32
    from numpy.typing import NDArray

    Keys = NDArray[uint32]  # records × bands
    Signatures = NDArray[uint8]  # records × slots

ENTRY = Struct(f"<QI{SLOTS}s")
_FIELDS = [("place", "<u8"), ("size", "<u4"), ("signature", "u1", (SLOTS,))]  # the same in numpy
_KEY_BITS = 32
_FIRST_BITS = 12  # of a number that names one of a band's chains, in a fresh table
_AT_ONCE = 1 << 16  # pairs whose signatures are compared; 8 MB


class TableMatch(NamedTuple):
    """An earlier record: which part of the spill tells more, and how many slots are equal."""

    place: int
    size: int
    equal: int


class OpenTable:
    """A table in memory, which takes in records."""

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._bits = _FIRST_BITS
        self._heads = array("I", bytes(4 * bands << _FIRST_BITS))
        self._keys = array("I", bytes(4 * bands))
        self._nexts = array("I", bytes(4 * bands))
        self._entries = bytearray(ENTRY.size)

    def __len__(self) -> int:
        return len(self._entries) // ENTRY.size - 1

    @property
    def keys(self) -> "Keys":
        """The keys of all records."""
        import numpy as np

        return np.frombuffer(self._keys, np.uint32)[self._bands :].reshape(-1, self._bands)

    def find(
        self, keys: "Keys", signatures: "Signatures", least: int
    ) -> list[tuple[int, TableMatch]]:
        """Return the records that share a key and at least so many slots with each one asked.

        They come in the order of those asked, named by their place, and of the table.
        """
        import numpy as np

        heads, of, nexts = self._columns()
        links = heads[self._chains(keys)].ravel()
        on = np.flatnonzero(links)
        links, wanted, asked = links[on], keys.ravel()[on], on // self._bands
        pairs = []
        while len(links):
            equal = of[links] == wanted
            pairs.append(asked[equal] << 32 | links[equal] // self._bands)
            links = nexts[links]
            on = np.flatnonzero(links)
            links, wanted, asked = links[on], wanted[on], asked[on]
        if not any(map(len, pairs)):
            return []
        return self._near(np.unique(np.concatenate(pairs)), signatures, least)

    def _near(
        self, pairs: "NDArray[int64]", signatures: "Signatures", least: int
    ) -> list[tuple[int, TableMatch]]:
        import numpy as np

        near = []
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            asked, records = some >> 32, some & 0xFFFFFFFF
            entries = np.frombuffer(self._entries, _FIELDS)[records]
            equal = (entries["signature"] == signatures[asked]).sum(axis=1)
            for at in np.flatnonzero(equal >= least).tolist():
                entry = entries[at]
                found = TableMatch(int(entry["place"]), int(entry["size"]), int(equal[at]))
                near.append((int(asked[at]), found))
        return near

    def add(self, keys: "Keys", entries: bytes) -> None:
        """Take in records, with entries as ENTRY packs them."""
        import numpy as np

        heads = self._columns()[0]
        chains = self._chains(keys).ravel()
        order = np.argsort(chains, kind="stable")
        chains = chains[order]
        links = (order + len(self._keys)).astype(np.uint32)
        before = heads[chains]
        follows = np.flatnonzero(chains[1:] == chains[:-1])
        before[follows + 1] = links[follows]
        nexts = np.empty_like(before)
        nexts[order] = before
        heads[chains] = links  # of several, numpy keeps the last
        del heads  # an array that is looked at cannot grow
        self._keys.frombytes(keys.tobytes())
        self._nexts.frombytes(nexts.tobytes())
        self._entries += entries
        self._widen()

    def filed(self, spill: Spill) -> "TableOnDisk":
        """Return the same table on the disk."""
        columns = [
            _ColumnOnDisk(column, spill) for column in (self._heads, self._keys, self._nexts)
        ]
        return TableOnDisk(self._bands, self._bits, columns, spill, spill.append(self._entries))

    def _columns(self) -> "tuple[Any, Any, Any]":
        import numpy as np

        heads, keys, nexts = (
            np.frombuffer(column, np.uint32) for column in (self._heads, self._keys, self._nexts)
        )
        return heads, keys, nexts

    def _chains(self, keys: "Keys") -> "NDArray[int64]":
        """Return which chain each key is in."""
        import numpy as np

        firsts = np.arange(self._bands, dtype=np.int64) << self._bits
        return firsts + (keys >> np.uint32(_KEY_BITS - self._bits))

    def _widen(self) -> None:
        """Make twice as many chains where they are half full, until they are not."""
        bits = self._bits
        while 2 * len(self) > 1 << self._bits:
            self._bits += 1
        if self._bits > bits:
            self._heads = array("I", bytes(4 * self._bands << self._bits))
            self._link()

    def _link(self) -> None:
        """Link all records anew, a band at a time: each to the one before it in its chain."""
        import numpy as np

        heads, keys, nexts = self._columns()
        for band in range(self._bands):
            links = np.arange(self._bands + band, len(keys), self._bands)
            key_bits = keys[links] >> np.uint32(_KEY_BITS - self._bits)
            chains = (band << self._bits) + key_bits.astype(np.int64)
            order = np.argsort(chains, kind="stable")
            links, chains = links[order], chains[order]
            goes_on = chains[1:] == chains[:-1]
            nexts[links[1:]] = np.where(goes_on, links[:-1], 0)
            nexts[links[:1]] = 0
            heads[chains] = links


class _ColumnOnDisk:
    """A column of 32-bit numbers on the disk."""

    def __init__(self, numbers: "array[int]", spill: Spill) -> None:
        self._spill = spill
        self._place = spill.append(memoryview(numbers).cast("B"))

    def __getitem__(self, index: int, /) -> int:
        return int.from_bytes(self._spill.read(self._place + 4 * index, 4), sys.byteorder)


class TableOnDisk:
    """A table on the disk, asked about one key after the other."""

    def __init__(
        self, bands: int, bits: int, columns: Sequence[_ColumnOnDisk], spill: Spill, entries: int
    ) -> None:
        self._bands = bands
        self._bits = bits
        self._heads, self._keys, self._nexts = columns
        self._spill = spill
        self._entries = entries

    def find(self, keys: dict[int, int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the entries of the records that have one of the keys, each in its band."""
        found = set()
        for band, key in keys.items():
            link = self._heads[(band << self._bits) + (key >> _KEY_BITS - self._bits)]
            while link:
                if self._keys[link] == key:
                    found.add(link // self._bands)
                link = self._nexts[link]
        for record in sorted(found):
            place = self._entries + ENTRY.size * record
            yield ENTRY.unpack(self._spill.read(place, ENTRY.size))
