"""Which record had a key first: a dictionary in bounded memory that spills to disk."""

import sys
from array import array
from bisect import bisect_left, bisect_right

from seqit.engine.spill import Spill

_ENTRY_BYTES = 200  # of a key and a value in memory, about, without the value's text
_BLOCK_KEYS = 512  # keys read at once


class SeenKeys:
    """A dictionary of texts by keys of at most 64 bits, in about `memory` bytes.

    A full dictionary is sorted and moved to disk. A bitmap with one bit per key on disk avoids most
    reads for keys that are not there.
    """

    def __init__(self, memory: int) -> None:
        self._max_bytes = memory * 3 // 4
        self._used = 0
        self._in_memory: dict[int, str] = {}
        self._on_disk: list[_DiskKeys] = []
        self._spill = Spill()
        self._bitmap_size = 8 * (memory // 4)
        self._bitmap = bytearray()

    def get(self, key: int) -> str | None:
        """Return the text of a key; None if the key is not stored."""
        found = self._in_memory.get(key)
        if found is None and self._on_disk:
            bit = key % self._bitmap_size
            if self._bitmap[bit >> 3] >> (bit & 7) & 1:
                texts = (table.get(key) for table in self._on_disk)
                return next((text for text in texts if text is not None), None)
        return found

    def add(self, key: int, text: str) -> None:
        """Store the text of a new key."""
        self._in_memory[key] = text
        self._used += _ENTRY_BYTES + len(text)
        if self._used > self._max_bytes:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        if not self._bitmap:
            self._bitmap = bytearray(self._bitmap_size // 8 + 1)
        for key in self._in_memory:
            bit = key % self._bitmap_size
            self._bitmap[bit >> 3] |= 1 << (bit & 7)
        self._on_disk.append(_DiskKeys(self._in_memory, self._spill))
        self._in_memory = {}
        self._used = 0


class _DiskKeys:
    """A dictionary on disk: its sorted keys, and where the text of each ends."""

    def __init__(self, entries: dict[int, str], spill: Spill) -> None:
        self._spill = spill
        keys = array("Q", sorted(entries))
        self._firsts = keys[::_BLOCK_KEYS]
        self._count = len(keys)
        self._keys = spill.append(memoryview(keys).cast("B"))
        ends = array("Q", [0])
        self._texts = spill.append(b"")
        for key in keys:
            text = entries[key].encode("utf-8", "surrogatepass")
            spill.append(text)
            ends.append(ends[-1] + len(text))
        self._ends = spill.append(memoryview(ends).cast("B"))

    def get(self, key: int) -> str | None:
        """Return the text of a key; None if the key is not stored."""
        start = max(0, bisect_right(self._firsts, key) - 1) * _BLOCK_KEYS
        size = min(_BLOCK_KEYS, self._count - start)
        keys = array("Q", self._spill.read(self._keys + 8 * start, 8 * size))
        place = bisect_left(keys, key)
        if place == size or keys[place] != key:
            return None
        bounds = self._spill.read(self._ends + 8 * (start + place), 16)
        begin, end = (int.from_bytes(bounds[at : at + 8], sys.byteorder) for at in (0, 8))
        return self._spill.read(self._texts + begin, end - begin).decode("utf-8", "surrogatepass")
