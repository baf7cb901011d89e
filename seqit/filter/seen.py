"""Which keys came before: a dictionary of a million entries in 50 MB."""

from array import array


class Seen:
    """Maps hash values of 64 bits to the name that each came with first.

    The layout is CPython's own for dict: a sparse table of entry numbers in front of dense arrays.
    An entry costs 16 bytes, its name, and 8 to 32 bytes of table; a dict of Python objects takes
    three times as much. Holds up to 2**32 - 1 entries.
    """

    def __init__(self) -> None:
        self._table = array("I", bytes(4 * 1024))  # entry number, from 1; 0 is free
        self._keys = array("q")
        self._names = bytearray()
        self._ends = array("Q", [0])  # entry n's name lies between _ends[n - 1] and _ends[n]

    def __len__(self) -> int:
        return len(self._keys)

    def first(self, key: int, name: str) -> str | None:
        """Return the name that came first with this key; None, and keep it, if none did."""
        table = self._table
        mask = len(table) - 1
        slot = key & mask
        while entry := table[slot]:
            if self._keys[entry - 1] == key:
                start, end = self._ends[entry - 1 : entry + 1]
                return self._names[start:end].decode("utf-8", "surrogatepass")
            slot = (slot + 1) & mask
        self._keys.append(key)
        self._names += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))
        table[slot] = count = len(self._keys)
        if 2 * count > mask:
            self._grow()
        return None

    def _grow(self) -> None:
        """Make the table, now half full, four times as large."""
        self._table = table = array("I", bytes(4 * 4 * len(self._table)))
        mask = len(table) - 1
        for entry, key in enumerate(self._keys, 1):
            slot = key & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = entry
