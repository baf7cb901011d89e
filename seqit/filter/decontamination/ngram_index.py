"""An index of benchmark texts by short runs of words, of which hashes alone are kept."""

from array import array
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import compress, islice
from typing import NamedTuple

from seqit.filter.decontamination.words import tokens_a_word

SEED = 4
"""Words of a seed: a run that a text and a row share where one is looked for in the other."""

_RAREST = 3  # seeds of a text that has no rare ones
_PLACE = 20  # bits of the place of a seed in its text
_LONGEST = (1 << _PLACE) - 1
_BITS = (1 << 32) - 1


class IndexedText(NamedTuple):
    """One text of an item: where it was read, how it begins, and what a match must have.

    `run`: so many of its words in a row are a match by themselves, `weight` of them in seeds that
    few texts have, as `rare` of all are. `verbatim`: it must be there as a whole.
    """

    source: str
    line: int
    field: str
    excerpt: str
    start: int
    length: int
    run: int
    weight: int
    is_short: bool
    verbatim: bool
    rare: int = 0


class SharedRun(NamedTuple):
    """Four words of a row that are four words of a text: both places, in words."""

    place: int
    text_place: int


def word_hashes(tokens: Iterable[str]) -> list[int]:
    """Return 32 bits of each word; the same within this process and its forks."""
    return [hash(token) & _BITS for token in tokens]


class NgramIndex:
    """Texts, to be found again in others by the seeds that they share.

    A seed that more than `common` texts hold is a common phrase or part of a template: it finds
    nothing. Texts whose seeds are nearly all so are found by their rarest ones, as a whole.
    Memory: about 130 bytes a word of the texts.
    """

    def __init__(self, run: int, short: int, common: int) -> None:
        self.texts: list[IndexedText] = []
        self._words = array("I")
        self._rare = bytearray()  # 1 where a rare seed begins
        self._run, self._short, self._common = run, short, common
        self._seeds: dict[int, int | tuple[int, ...]] = {}
        self._hashes = array("q")  # of all seeds, until the index is complete
        self._counts: Counter[int] = Counter()

    def add(self, tokens: list[str], source: str, line: int, field: str, excerpt: str) -> int:
        """Take the words of a text, and return its number."""
        tokens = tokens[:_LONGEST]
        scale = tokens_a_word(tokens)
        short = self._short * scale
        run = self._run * scale if len(tokens) >= self._run * scale else short
        is_short = len(tokens) < short
        where = (source, line, field, excerpt, len(self._words), len(tokens))
        self.texts.append(IndexedText(*where, run, short, is_short, is_short))
        runs = zip(*(islice(tokens, n, None) for n in range(SEED)), strict=False)
        found = array("q", map(hash, runs))
        self._words.extend(word_hashes(tokens))
        self._hashes.extend(found)
        self._counts.update(set(found))
        return len(self.texts) - 1

    @property
    def limit(self) -> int:
        """How many texts may hold a phrase: of a few texts, two or a tenth."""
        return max(2, min(self._common, len(self.texts) // 10))

    def complete(self, boilerplate: Container[int]) -> None:
        """Make the index of what was added but these texts; none can be added any more."""
        self._rare = bytearray(len(self._words))
        start = 0
        for number, text in enumerate(self.texts):
            count = max(0, text.length - SEED + 1)
            found = self._hashes[start : start + count]
            start += count
            if number not in boilerplate:
                self.texts[number] = self._entered(number, text, found)
        self._hashes = array("q")
        self._counts.clear()

    def words_of(self, text: IndexedText) -> Sequence[int]:
        """Return the hashes of a text's words."""
        return self._words[text.start : text.start + text.length]

    def rare_of(self, text: IndexedText, begin: int = 0, end: int | None = None) -> set[int]:
        """Return the places of a text's words that rare seeds cover, within a part of the text."""
        last = (text.length if end is None else end) - SEED
        starts = range(begin, last + 1)
        flags = self._rare[text.start + begin : text.start + last + 1]
        return {start + n for start in compress(starts, flags) for n in range(SEED)}

    def _entered(self, number: int, text: IndexedText, found: Sequence[int]) -> IndexedText:
        """Enter a text's seeds; mark the words of its rare ones, and count them."""
        counts = [self._counts[each] for each in found]
        places = [place for place, count in enumerate(counts) if count <= self.limit]
        marked = {word for place in places for word in range(place, place + SEED)}
        verbatim = text.verbatim or 2 * len(marked) < text.length
        if verbatim:
            rarest = sorted(range(len(counts)), key=counts.__getitem__)[:_RAREST]
            places = sorted({*places, *rarest})
        for place in places:
            self._enter(found[place], (number << _PLACE | place) + 1)
            self._rare[text.start + place] = 1
        return text._replace(rare=len(marked), verbatim=verbatim)

    def _enter(self, seed: int, entry: int) -> None:
        other = self._seeds.get(seed)
        if other is None:
            self._seeds[seed] = entry
        else:
            self._seeds[seed] = (*other, entry) if isinstance(other, tuple) else (other, entry)

    def seeds(self, tokens: list[str], step: int) -> dict[int, list[SharedRun]]:
        """Return by text the seeds that begin at every `step`-th word, in their order."""
        starts = (tokens[n::step] for n in range(SEED))
        found = list(map(self._seeds.get, map(hash, zip(*starts, strict=False))))
        shared: dict[int, list[SharedRun]] = {}
        if any(found):  # seldom: what follows costs more than what came before
            for place, entries in enumerate(found):
                if entries is not None:
                    for entry in entries if isinstance(entries, tuple) else (entries,):
                        number, text_place = divmod(entry - 1, 1 << _PLACE)
                        shared.setdefault(number, []).append(SharedRun(place * step, text_place))
        return shared
