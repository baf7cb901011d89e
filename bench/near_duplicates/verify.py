"""What a user of a library without exact comparison writes beside it; shared by the peers."""

from collections.abc import Iterable

THRESHOLD = 0.8


def shingles(row: dict[str, str], fields: list[str]) -> list[str]:
    """Return the word 5-grams of a row, case folded."""
    words = "\n".join(row[field] for field in fields).lower().split()
    return list(map(" ".join, zip(*(words[at:] for at in range(5)), strict=False)))


class Kept:
    """The rows that stay: hashes of their shingles, 8 bytes each."""

    def __init__(self) -> None:
        self._shingles: dict[int, frozenset[int]] = {}

    def is_new(self, number: int, shingles: Iterable[str], near: Iterable[int]) -> bool:
        """Tell whether no row that stays is near; then this one stays too."""
        mine = frozenset(map(hash, shingles))
        for other in near:
            theirs = self._shingles.get(other)
            if theirs is None or other >= number:
                continue
            both = len(mine & theirs)
            if both >= THRESHOLD * (len(mine) + len(theirs) - both):
                return False
        self._shingles[number] = mine
        return True
