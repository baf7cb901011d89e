"""Hash tables of records by the keys of their bands; `lsh` keeps one in memory, others on disk.

A table has a few columns of numbers: for each band the heads of chains, for each record and band
its key and the next link of the chain, and for each record its entry. A link of a chain is
record * bands + band, and 0 ends the chain: records count from 1.
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
_FIELDS = [("offset", "<u8"), ("size", "<u4"), ("signature", "u1", (SLOTS,))]  # ENTRY for numpy
_KEY_BITS = 32
_INITIAL_BITS = 12  # log2 of the chains per band in a new table
_BATCH_SIZE = 1 << 16  # pairs whose signatures are compared at once; 8 MB


class TableMatch(NamedTuple):
    """An earlier record: offset and size of its data in the spill, and how many slots are equal."""

    offset: int
    size: int
    equal: int


class MemoryTable:
    """A table in memory that records can be added to."""

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._bits = _INITIAL_BITS
        self._heads = array("I", bytes(4 * bands << _INITIAL_BITS))
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
        self, keys: "Keys", signatures: "Signatures", min_equal: int
    ) -> list[tuple[int, TableMatch]]:
        """Return the records that share a key and at least `min_equal` slots with each query.

        As pairs of query index and match, in the order of the queries, then of the table.
        """
        import numpy as np

        heads, chain_keys, nexts = self._columns()
        links = heads[self._chains(keys)].ravel()
        alive = np.flatnonzero(links)
        links, wanted, query = links[alive], keys.ravel()[alive], alive // self._bands
        pairs = []
        while len(links):
            equal = chain_keys[links] == wanted
            pairs.append(query[equal] << 32 | links[equal] // self._bands)
            links = nexts[links]
            alive = np.flatnonzero(links)
            links, wanted, query = links[alive], wanted[alive], query[alive]
        if not any(map(len, pairs)):
            return []
        return self._compare_signatures(np.unique(np.concatenate(pairs)), signatures, min_equal)

    def _compare_signatures(
        self, pairs: "NDArray[int64]", signatures: "Signatures", min_equal: int
    ) -> list[tuple[int, TableMatch]]:
        import numpy as np

        matches = []
        for start in range(0, len(pairs), _BATCH_SIZE):
            batch = pairs[start : start + _BATCH_SIZE]
            query, records = batch >> 32, batch & 0xFFFFFFFF
            entries = np.frombuffer(self._entries, _FIELDS)[records]
            equal = (entries["signature"] == signatures[query]).sum(axis=1)
            for index in np.flatnonzero(equal >= min_equal).tolist():
                entry = entries[index]
                match = TableMatch(int(entry["offset"]), int(entry["size"]), int(equal[index]))
                matches.append((int(query[index]), match))
        return matches

    def add(self, keys: "Keys", entries: bytes) -> None:
        """Add records, with their entries packed by ENTRY."""
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
        heads[chains] = links  # of equal chains, numpy keeps the last link
        del heads  # an array with an exported buffer cannot grow
        self._keys.frombytes(keys.tobytes())
        self._nexts.frombytes(nexts.tobytes())
        self._entries += entries
        self._grow()

    def to_disk(self, spill: Spill) -> "DiskTable":
        """Return the same table, written to disk."""
        columns = [_DiskColumn(column, spill) for column in (self._heads, self._keys, self._nexts)]
        return DiskTable(self._bands, self._bits, columns, spill, spill.append(self._entries))

    def _columns(self) -> "tuple[Any, Any, Any]":
        import numpy as np

        heads, keys, nexts = (
            np.frombuffer(column, np.uint32) for column in (self._heads, self._keys, self._nexts)
        )
        return heads, keys, nexts

    def _chains(self, keys: "Keys") -> "NDArray[int64]":
        """Return the number of the chain of each key."""
        import numpy as np

        first_chains = np.arange(self._bands, dtype=np.int64) << self._bits
        return first_chains + (keys >> np.uint32(_KEY_BITS - self._bits))

    def _grow(self) -> None:
        """Double the number of chains until they are at most half full."""
        bits = self._bits
        while 2 * len(self) > 1 << self._bits:
            self._bits += 1
        if self._bits > bits:
            self._heads = array("I", bytes(4 * self._bands << self._bits))
            self._rebuild_chains()

    def _rebuild_chains(self) -> None:
        """Link all records again, one band at a time: each to the one before it in its chain."""
        import numpy as np

        heads, keys, nexts = self._columns()
        for band in range(self._bands):
            links = np.arange(self._bands + band, len(keys), self._bands)
            key_bits = keys[links] >> np.uint32(_KEY_BITS - self._bits)
            chains = (band << self._bits) + key_bits.astype(np.int64)
            order = np.argsort(chains, kind="stable")
            links, chains = links[order], chains[order]
            continued = chains[1:] == chains[:-1]
            nexts[links[1:]] = np.where(continued, links[:-1], 0)
            nexts[links[:1]] = 0
            heads[chains] = links


class _DiskColumn:
    """A column of 32-bit numbers on disk."""

    def __init__(self, numbers: "array[int]", spill: Spill) -> None:
        self._spill = spill
        self._offset = spill.append(memoryview(numbers).cast("B"))

    def __getitem__(self, index: int, /) -> int:
        return int.from_bytes(self._spill.read(self._offset + 4 * index, 4), sys.byteorder)


class DiskTable:
    """A table on disk, searched for one record at a time."""

    def __init__(
        self, bands: int, bits: int, columns: Sequence[_DiskColumn], spill: Spill, entries: int
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
            offset = self._entries + ENTRY.size * record
            yield ENTRY.unpack(self._spill.read(offset, ENTRY.size))
