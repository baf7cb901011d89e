"""How much of one text stands in another: exact runs of words, across small edits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_STEPS = ((1, 1), (1, 0), (0, 1), (2, 2), (2, 1), (1, 2), (2, 0), (0, 2))
"""Words to skip in the row and in the text: one changed, added, dropped; then two."""

_AGAIN = 2  # equal words after an edit, without which it is the end


@dataclass
class Alignment:
    """The words of a text that stand in a row, in runs around the seeds given so far.

    `found` holds their places in the text; `run` the longest run in the row: begin and length.
    """

    row: Sequence[int]
    text: Sequence[int]
    found: set[int] = field(default_factory=set)
    run: tuple[int, int] = (0, 0)
    text_place: int = 0
    """Where the longest run begins in the text."""
    begin: int = 0
    end: int = 0
    """Between which places in the row the words stand."""

    def extend(self, place: int, text_place: int) -> None:
        """Follow the run of equal words through this pair of places, and on beyond edits."""
        if text_place in self.found:
            return
        forward = self._follow(place, text_place, 1)
        back = self._follow(place - 1, text_place - 1, -1)
        pairs = [*reversed(back), *forward]
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

    def _follow(self, place: int, text_place: int, way: int) -> list[tuple[int, int]]:
        """Return the pairs of places of equal words from here on, in one direction."""
        pairs: list[tuple[int, int]] = []
        while True:
            while self._equal(place, text_place):
                pairs.append((place, text_place))
                place, text_place = place + way, text_place + way
            for step, text_step in _STEPS:
                after, text_after = place + way * step, text_place + way * text_step
                if all(
                    self._equal(after + way * n, text_after + way * n) for n in range(_AGAIN)
                ) or self._ends(after, text_after, way):
                    place, text_place = after, text_after
                    break
            else:
                return pairs

    def _equal(self, place: int, text_place: int) -> bool:
        return (
            0 <= place < len(self.row)
            and 0 <= text_place < len(self.text)
            and self.row[place] == self.text[text_place]
        )

    def _ends(self, place: int, text_place: int, way: int) -> bool:
        """Tell whether the text's last word, or first, is equal: it has no second one after it."""
        last = len(self.text) - 1 if way > 0 else 0
        return text_place == last and self._equal(place, text_place)
