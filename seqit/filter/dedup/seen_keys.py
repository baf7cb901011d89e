"""Which record had a key first: a dictionary in bounded memory, the rest of it on disk."""

import sys
from array import array
from bisect import bisect_left, bisect_right

from seqit.engine.spill import Spill

_ENTRY = 200  # bytes that a key and a value take in memory, about, without the value's text
_BLOCK = 512  # keys read at once


class SeenKeys:
    """Texts by keys of at most 64 bits; holds about `memory` bytes at most.

    A full dictionary is sorted and goes to the disk. Of each key there one bit is set, so that
    few new ones are looked for in vain.
    """

    def __init__(self, memory: int) -> None:
        self._most = memory * 3 // 4
        self._used = 0
        self._recent: dict[int, str] = {}
        self._filed: list[_KeysOnDisk] = []
        self._spill = Spill()
        self._bits = 8 * (memory // 4)
        self._marks = bytearray()

    def get(self, key: int) -> str | None:
        """Return the text of a key; None where there is none."""
        found = self._recent.get(key)
        if found is None and self._filed:
            bit = key % self._bits
            if self._marks[bit >> 3] >> (bit & 7) & 1:
                texts = (filed.get(key) for filed in self._filed)
                return next((text for text in texts if text is not None), None)
        return found

    def add(self, key: int, text: str) -> None:
        """Take in a key that is not there yet."""
        self._recent[key] = text
        self._used += _ENTRY + len(text)
        if self._used > self._most:
            self._file()

    def _file(self) -> None:
        if not self._marks:
            self._marks = bytearray(self._bits // 8 + 1)
        for key in self._recent:
            bit = key % self._bits
            self._marks[bit >> 3] |= 1 << (bit & 7)
        self._filed.append(_KeysOnDisk(self._recent, self._spill))
        self._recent = {}
        self._used = 0


class _KeysOnDisk:
    """A dictionary on the disk: its sorted keys, and where the text of each ends."""

    def __init__(self, entries: dict[int, str], spill: Spill) -> None:
        self._spill = spill
        keys = array("Q", sorted(entries))
        self._firsts = keys[::_BLOCK]
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
        """Return the text of a key; None where there is none."""
        start = max(0, bisect_right(self._firsts, key) - 1) * _BLOCK
        size = min(_BLOCK, self._count - start)
        keys = array("Q", self._spill.read(self._keys + 8 * start, 8 * size))
        place = bisect_left(keys, key)
        if place == size or keys[place] != key:
            return None
        bounds = self._spill.read(self._ends + 8 * (start + place), 16)
        begin, end = (int.from_bytes(bounds[at : at + 8], sys.byteorder) for at in (0, 8))
        return self._spill.read(self._texts + begin, end - begin).decode("utf-8", "surrogatepass")
