"""An index of benchmark texts by the hashes of short runs of words."""

from array import array
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import compress, islice
from typing import NamedTuple

from seqit.filter.decontamination.words import tokens_per_word

SEED_LENGTH = 4
"""Words of a seed: a run shared by a text and a row, from which an alignment is extended."""

_MAX_SEEDS_OF_COMMON = 3  # indexed seeds of a text without rare ones
_POSITION_BITS = 20  # of the position of a seed in its text
_MAX_WORDS = (1 << _POSITION_BITS) - 1
_WORD_MASK = (1 << 32) - 1


class IndexedText(NamedTuple):
    """One text of an item: where it was read, how it begins, and what a match needs.

    `run` words in a row are a match, if at least `weight` of them are in rare seeds. `rare` is the
    number of its words in rare seeds. If `verbatim`, only the whole text is a match.
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


class SharedSeed(NamedTuple):
    """A seed that occurs in a row and in a text: its position in both, in words."""

    place: int
    text_place: int


def word_hashes(tokens: Iterable[str]) -> list[int]:
    """Return a 32-bit hash of each word, equal only within this process and its forks."""
    return [hash(token) & _WORD_MASK for token in tokens]


class NgramIndex:
    """An index of texts by their seeds, to find them in rows.

    A seed of more than `common` texts is a common phrase or part of a template, and is not indexed.
    Texts with few other seeds are found by their rarest ones, and only as a whole. Memory: about
    130 bytes per word of the texts.
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
        """Add the words of a text; returns its number."""
        tokens = tokens[:_MAX_WORDS]
        scale = tokens_per_word(tokens)
        short = self._short * scale
        run = self._run * scale if len(tokens) >= self._run * scale else short
        is_short = len(tokens) < short
        location = (source, line, field, excerpt, len(self._words), len(tokens))
        self.texts.append(IndexedText(*location, run, short, is_short, is_short))
        runs = zip(*(islice(tokens, n, None) for n in range(SEED_LENGTH)), strict=False)
        found = array("q", map(hash, runs))
        self._words.extend(word_hashes(tokens))
        self._hashes.extend(found)
        self._counts.update(set(found))
        return len(self.texts) - 1

    @property
    def limit(self) -> int:
        """Most texts that a rare seed may occur in: `common`, or a tenth of all texts (but 2)."""
        return max(2, min(self._common, len(self.texts) // 10))

    def build(self, boilerplate: Container[int]) -> None:
        """Build the index of all texts except `boilerplate`; no text can be added afterwards."""
        self._rare = bytearray(len(self._words))
        start = 0
        for number, text in enumerate(self.texts):
            count = max(0, text.length - SEED_LENGTH + 1)
            found = self._hashes[start : start + count]
            start += count
            if number not in boilerplate:
                self.texts[number] = self._add_seeds(number, text, found)
        self._hashes = array("q")
        self._counts.clear()

    def words_in(self, text: IndexedText) -> Sequence[int]:
        """Return the hashes of a text's words."""
        return self._words[text.start : text.start + text.length]

    def rare_words_in(self, text: IndexedText, begin: int = 0, end: int | None = None) -> set[int]:
        """Return the positions of words in rare seeds, within a part of the text."""
        last = (text.length if end is None else end) - SEED_LENGTH
        starts = range(begin, last + 1)
        flags = self._rare[text.start + begin : text.start + last + 1]
        return {start + n for start in compress(starts, flags) for n in range(SEED_LENGTH)}

    def _add_seeds(self, number: int, text: IndexedText, found: Sequence[int]) -> IndexedText:
        """Index the seeds of a text; returns it with `rare` and `verbatim` set."""
        counts = [self._counts[seed] for seed in found]
        places = [place for place, count in enumerate(counts) if count <= self.limit]
        covered = {word for place in places for word in range(place, place + SEED_LENGTH)}
        verbatim = text.verbatim or 2 * len(covered) < text.length
        if verbatim:
            rarest = sorted(range(len(counts)), key=counts.__getitem__)[:_MAX_SEEDS_OF_COMMON]
            places = sorted({*places, *rarest})
        for place in places:
            self._add_seed(found[place], (number << _POSITION_BITS | place) + 1)
            self._rare[text.start + place] = 1
        return text._replace(rare=len(covered), verbatim=verbatim)

    def _add_seed(self, seed: int, entry: int) -> None:
        existing = self._seeds.get(seed)
        if existing is None:
            self._seeds[seed] = entry
        else:
            self._seeds[seed] = (
                (*existing, entry) if isinstance(existing, tuple) else (existing, entry)
            )

    def find(self, tokens: list[str], step: int) -> dict[int, list[SharedSeed]]:
        """Return by text the shared seeds that begin at every `step`-th word, in order."""
        starts = (tokens[n::step] for n in range(SEED_LENGTH))
        found = list(map(self._seeds.get, map(hash, zip(*starts, strict=False))))
        shared: dict[int, list[SharedSeed]] = {}
        if any(found):  # rarely true, and what follows is expensive
            for place, entries in enumerate(found):
                if entries is not None:
                    for entry in entries if isinstance(entries, tuple) else (entries,):
                        number, text_place = divmod(entry - 1, 1 << _POSITION_BITS)
                        shared.setdefault(number, []).append(SharedSeed(place * step, text_place))
        return shared
