"""Exact comparison that a user adds to a library without one; shared by the peers."""

from collections.abc import Iterable

THRESHOLD = 0.8


def shingles(row: dict[str, str], fields: list[str]) -> list[str]:
    """Return the word 5-grams of a row, case folded."""
    words = "\n".join(row[field] for field in fields).lower().split()
    return list(map(" ".join, zip(*(words[start:] for start in range(5)), strict=False)))


class KeptRows:
    """The rows that are kept: hashes of their shingles, 8 bytes each."""

    def __init__(self) -> None:
        self._shingles: dict[int, frozenset[int]] = {}

    def is_new(self, number: int, shingles: Iterable[str], near: Iterable[int]) -> bool:
        """Return whether no kept row is near; if so, keep this one too."""
        hashes = frozenset(map(hash, shingles))
        for other in near:
            kept = self._shingles.get(other)
            if kept is None or other >= number:
                continue
            both = len(hashes & kept)
            if both >= THRESHOLD * (len(hashes) + len(kept) - both):
                return False
        self._shingles[number] = hashes
        return True
