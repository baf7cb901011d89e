"""Locality-sensitive hashing: the records that share a band with a given one, in bounded memory.

A full table is moved to disk; a bitmap with one bit per key on disk avoids most reads there.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from seqit.engine.spill import Spill
from seqit.filter.dedup.hash_tables import ENTRY, DiskTable, MemoryTable, TableMatch
from seqit.filter.dedup.minhash import SLOTS, equal_slots

if TYPE_CHECKING:
    from seqit.filter.dedup.hash_tables import Keys

_KEY_BITS = 32


class MinHashKey(NamedTuple):
    """Band keys (32 bits each) and signature find candidates; the shingles decide."""

    bands: bytes
    signature: bytes
    shingles: bytes


class LshIndex:
    """An index of records by the keys of their bands, in about `memory` bytes.

    `prefetch` must have been called with a key before `find` or `add` is called with it.
    """

    def __init__(self, bands: int, min_equal: int, memory: int, spill: Spill) -> None:
        """Create an empty index; records with fewer than `min_equal` equal slots are not found."""
        self._bands = bands
        self._min_equal = min_equal
        self._spill = spill
        self._table = MemoryTable(bands)
        self._on_disk: list[DiskTable] = []
        self._bitmap = bytearray()  # one bit per key on disk
        self._bitmap_size = 8 * (memory // 4)
        # Per band at most four heads, a key and a next link; arrays over-allocate by an eighth.
        max_records = memory * 3 // 4 * 8 // 9 // (bands * 6 * 4 + ENTRY.size)
        self._max_records = min(max(1, max_records), (1 << _KEY_BITS) // bands - 2)
        self._pending: list[tuple[MinHashKey, int, int]] = []  # added since the last prefetch
        self._found: dict[MinHashKey, list[TableMatch]] = {}
        # The bands that a key shares with another key of its batch.
        self._shared_bands: dict[MinHashKey, list[int]] = {}
        self._pending_by_band: dict[int, list[int]] = {}  # indices in _pending

    def prefetch(self, batch: Sequence[MinHashKey]) -> None:
        """Look up the earlier records of all keys of a batch."""
        import numpy as np

        self._add_pending()
        counts = Counter(batch)
        queries = list(counts)
        keys = np.frombuffer(b"".join([key.bands for key in queries]), np.uint32)
        keys = keys.reshape(-1, self._bands)
        self._found = {}
        if self._on_disk:
            self._find_on_disk(keys, queries)
        signatures = np.frombuffer(b"".join([key.signature for key in queries]), np.uint8)
        for index, found in self._table.find(keys, signatures.reshape(-1, SLOTS), self._min_equal):
            self._found.setdefault(queries[index], []).append(found)
        self._find_shared_bands(keys, counts)

    def find(self, key: MinHashKey) -> list[TableMatch]:
        """Return the earlier records that share a band with a key, in input order."""
        found = self._found.get(key, [])
        if bands := self._shared_bands.get(key):
            numbers = {number for value in bands for number in self._pending_by_band.get(value, ())}
            for number in sorted(numbers):
                other, offset, size = self._pending[number]
                if (equal := equal_slots(key.signature, other.signature)) >= self._min_equal:
                    found = [*found, TableMatch(offset, size, equal)]
        return found

    def add(self, key: MinHashKey, offset: int, size: int) -> None:
        """Add a record whose data are `size` bytes at `offset` in the spill."""
        for value in self._shared_bands.get(key, ()):
            self._pending_by_band.setdefault(value, []).append(len(self._pending))
        self._pending.append((key, offset, size))

    def _find_shared_bands(self, keys: "Keys", counts: Counter[MinHashKey]) -> None:
        """Find the bands that keys of a batch share with one another."""
        import numpy as np

        self._pending_by_band = {}
        firsts = np.arange(self._bands, dtype=np.uint64) << np.uint64(_KEY_BITS)
        values = keys | firsts
        ordered = np.sort(values, axis=None)
        common = np.isin(values, ordered[1:][ordered[1:] == ordered[:-1]])
        sharing = set(np.flatnonzero(common.any(axis=1)).tolist())
        self._shared_bands = {}
        for index, (key, count) in enumerate(counts.items()):
            if index in sharing or count > 1:
                chosen = values[index] if count > 1 else values[index][common[index]]
                self._shared_bands[key] = chosen.tolist()

    def _find_on_disk(self, keys: "Keys", queries: Sequence[MinHashKey]) -> None:
        import numpy as np

        bits = keys.astype(np.uint64) * np.uint64(self._bitmap_size) >> np.uint64(_KEY_BITS)
        bits_set = np.frombuffer(self._bitmap, np.uint8)[bits >> np.uint64(3)]
        bits_set = bits_set >> (bits & np.uint64(7)).astype(np.uint8) & 1
        for index in np.flatnonzero(bits_set.any(axis=1)).tolist():
            bands = np.flatnonzero(bits_set[index])
            likely = dict(zip(bands.tolist(), keys[index, bands].tolist(), strict=True))
            key = queries[index]
            for table in self._on_disk:
                for entry in table.find(likely):
                    if (equal := equal_slots(key.signature, entry[-1])) >= self._min_equal:
                        found = TableMatch(*entry[:-1], equal)
                        self._found.setdefault(key, []).append(found)

    def _add_pending(self) -> None:
        """Add the pending records to the table; a full table is moved to disk."""
        import numpy as np

        pending, self._pending = self._pending, []
        while pending:
            part = pending[: self._max_records - len(self._table)]
            pending = pending[len(part) :]
            keys = np.frombuffer(b"".join([key.bands for key, *_ in part]), np.uint32)
            entries = [ENTRY.pack(offset, size, key.signature) for key, offset, size in part]
            self._table.add(keys.reshape(-1, self._bands), b"".join(entries))
            if len(self._table) == self._max_records:
                self._move_to_disk()

    def _move_to_disk(self) -> None:
        import numpy as np

        if not self._bitmap:
            self._bitmap = bytearray(self._bitmap_size // 8 + 1)
        bits = self._table.keys.ravel().astype(np.uint64) * np.uint64(self._bitmap_size)
        bits >>= np.uint64(_KEY_BITS)
        ones = np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(np.frombuffer(self._bitmap, np.uint8), bits >> np.uint64(3), ones)
        self._on_disk.append(self._table.to_disk(self._spill))
        self._table = MemoryTable(self._bands)
