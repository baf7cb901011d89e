"""How much of one text occurs in another: exact runs of words, across small edits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_STEPS = ((1, 1), (1, 0), (0, 1), (2, 2), (2, 1), (1, 2), (2, 0), (0, 2))
"""Words to skip in the row and in the text: one changed, added, removed; then two."""

_MIN_EQUAL_AFTER_EDIT = 2  # words; with fewer, the run ends at the edit


@dataclass
class Alignment:
    """The words of a text that occur in a row, in runs around the seeds given so far.

    `found` has their positions in the text; `run` is the longest run in the row: begin and length.
    """

    row: Sequence[int]
    text: Sequence[int]
    found: set[int] = field(default_factory=set)
    run: tuple[int, int] = (0, 0)
    text_place: int = 0
    """Where the longest run begins in the text."""
    begin: int = 0
    end: int = 0
    """The part of the row that has the words: from `begin` up to, not including, `end`."""

    def extend(self, place: int, text_place: int) -> None:
        """Extend the run of equal words from this pair of positions, also across edits."""
        if text_place in self.found:
            return
        forward = self._follow(place, text_place, 1)
        backward = self._follow(place - 1, text_place - 1, -1)
        pairs = [*reversed(backward), *forward]
        self.found.update(text_place for _, text_place in pairs)
        begin, end = pairs[0][0], pairs[-1][0] + 1
        self.begin = min(self.begin, begin) if self.end else begin
        self.end = max(self.end, end)
        length = 0
        for number, (word, text_word) in enumerate(pairs):
            follows = number and pairs[number - 1] == (word - 1, text_word - 1)
            length = length + 1 if follows else 1
            if length > self.run[1]:
                self.run = word - length + 1, length
                self.text_place = text_word - length + 1

    def _follow(self, place: int, text_place: int, direction: int) -> list[tuple[int, int]]:
        """Return the pairs of positions of equal words from here on; direction is 1 or -1."""
        pairs: list[tuple[int, int]] = []
        while True:
            while self._equal(place, text_place):
                pairs.append((place, text_place))
                place, text_place = place + direction, text_place + direction
            for step, text_step in _STEPS:
                next_place, next_text_place = (
                    place + direction * step,
                    text_place + direction * text_step,
                )
                if all(
                    self._equal(next_place + direction * n, next_text_place + direction * n)
                    for n in range(_MIN_EQUAL_AFTER_EDIT)
                ) or self._ends(next_place, next_text_place, direction):
                    place, text_place = next_place, next_text_place
                    break
            else:
                return pairs

    def _equal(self, place: int, text_place: int) -> bool:
        return (
            0 <= place < len(self.row)
            and 0 <= text_place < len(self.text)
            and self.row[place] == self.text[text_place]
        )

    def _ends(self, place: int, text_place: int, direction: int) -> bool:
        """Return whether this is the text's last (or first) word, and equal: none follows it."""
        last = len(self.text) - 1 if direction > 0 else 0
        return text_place == last and self._equal(place, text_place)
