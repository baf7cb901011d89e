"""The records that share a band with a given one: found a batch at a time, in bounded memory.

A full table goes to the disk; one bit for each key there spares most of the questions.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from seqit.engine.spill import Spill
from seqit.filter.dedup.hash_tables import ENTRY, OpenTable, TableMatch, TableOnDisk
from seqit.filter.dedup.minhash import SLOTS, equal_slots

if TYPE_CHECKING:
    from seqit.filter.dedup.hash_tables import Keys

_KEY_BITS = 32


class Key(NamedTuple):
    """What is compared of a record: bands (32 bits each) and signature find, shingles decide."""

    bands: bytes
    signature: bytes
    shingles: bytes


class Index:
    """All records taken in, by the keys of their bands; holds about `memory` bytes at most.

    `look_up` is told of a key before `find` is asked about it, and before `add` takes it in.
    """

    def __init__(self, bands: int, least: int, memory: int, spill: Spill) -> None:
        """Begin with none; records with fewer than `least` equal slots are not found."""
        self._bands = bands
        self._least = least
        self._spill = spill
        self._open = OpenTable(bands)
        self._filed: list[TableOnDisk] = []
        self._seen = bytearray()  # a bit for each key on the disk
        self._bits = 8 * (memory // 4)
        # At most four heads, a key and a next one; arrays grow by an eighth more than they need.
        most = memory * 3 // 4 * 8 // 9 // (bands * 6 * 4 + ENTRY.size)
        self._most = min(max(1, most), (1 << _KEY_BITS) // bands - 2)
        self._added: list[tuple[Key, int, int]] = []  # since the last look-up
        self._found: dict[Key, list[TableMatch]] = {}
        self._shared: dict[Key, list[int]] = {}  # what a key and another of its batch both have
        self._holders: dict[int, list[int]] = {}  # which of those added have it

    def look_up(self, batch: Sequence[Key]) -> None:
        """Find the earlier records of all keys of a batch."""
        import numpy as np

        self._take_in()
        counts = Counter(batch)
        asked = list(counts)
        keys = np.frombuffer(b"".join([key.bands for key in asked]), np.uint32)
        keys = keys.reshape(-1, self._bands)
        self._found = {}
        if self._filed:
            self._find_filed(keys, asked)
        signatures = np.frombuffer(b"".join([key.signature for key in asked]), np.uint8)
        for place, found in self._open.find(keys, signatures.reshape(-1, SLOTS), self._least):
            self._found.setdefault(asked[place], []).append(found)
        self._share(keys, counts)

    def find(self, key: Key) -> list[TableMatch]:
        """Return the earlier records that share a band with a key, in the order they came."""
        found = self._found.get(key, [])
        if shared := self._shared.get(key):
            others = {number for value in shared for number in self._holders.get(value, ())}
            for number in sorted(others):
                other, place, size = self._added[number]
                if (equal := equal_slots(key.signature, other.signature)) >= self._least:
                    found = [*found, TableMatch(place, size, equal)]
        return found

    def add(self, key: Key, place: int, size: int) -> None:
        """Take in a record, of which the spill holds `size` bytes at `place`."""
        for value in self._shared.get(key, ()):
            self._holders.setdefault(value, []).append(len(self._added))
        self._added.append((key, place, size))

    def _share(self, keys: "Keys", counts: Counter[Key]) -> None:
        """Find out which keys of a batch share a band."""
        import numpy as np

        self._holders = {}
        firsts = np.arange(self._bands, dtype=np.uint64) << np.uint64(_KEY_BITS)
        values = keys | firsts
        ordered = np.sort(values, axis=None)
        common = np.isin(values, ordered[1:][ordered[1:] == ordered[:-1]])
        shares = set(np.flatnonzero(common.any(axis=1)).tolist())
        self._shared = {}
        for place, (key, count) in enumerate(counts.items()):
            if place in shares or count > 1:
                chosen = values[place] if count > 1 else values[place][common[place]]
                self._shared[key] = chosen.tolist()

    def _find_filed(self, keys: "Keys", asked: Sequence[Key]) -> None:
        import numpy as np

        bits = keys.astype(np.uint64) * np.uint64(self._bits) >> np.uint64(_KEY_BITS)
        seen = np.frombuffer(self._seen, np.uint8)[bits >> np.uint64(3)]
        seen = seen >> (bits & np.uint64(7)).astype(np.uint8) & 1
        for place in np.flatnonzero(seen.any(axis=1)).tolist():
            bands = np.flatnonzero(seen[place])
            likely = dict(zip(bands.tolist(), keys[place, bands].tolist(), strict=True))
            key = asked[place]
            for table in self._filed:
                for entry in table.find(likely):
                    if (equal := equal_slots(key.signature, entry[-1])) >= self._least:
                        found = TableMatch(*entry[:-1], equal)
                        self._found.setdefault(key, []).append(found)

    def _take_in(self) -> None:
        """Put what was added into the table; a full one goes to the disk."""
        import numpy as np

        added, self._added = self._added, []
        while added:
            some = added[: self._most - len(self._open)]
            added = added[len(some) :]
            keys = np.frombuffer(b"".join([key.bands for key, *_ in some]), np.uint32)
            entries = [ENTRY.pack(place, size, key.signature) for key, place, size in some]
            self._open.add(keys.reshape(-1, self._bands), b"".join(entries))
            if len(self._open) == self._most:
                self._file()

    def _file(self) -> None:
        import numpy as np

        if not self._seen:
            self._seen = bytearray(self._bits // 8 + 1)
        bits = self._open.keys.ravel().astype(np.uint64) * np.uint64(self._bits)
        bits >>= np.uint64(_KEY_BITS)
        ones = np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(np.frombuffer(self._seen, np.uint8), bits >> np.uint64(3), ones)
        self._filed.append(self._open.filed(self._spill))
        self._open = OpenTable(self._bands)
