"""Rules about texts that say one thing again and again."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.filter.rule import (
    TEXT_FIELDS,
    OptionSpec,
    Rejection,
    Rule,
    TextField,
    one_of,
    positive_number,
    whole_number,
)
from seqit.records.record import Record
from seqit.records.validation import shorten

# The largest shares allowed: Rae et al. 2021 (Gopher), arXiv 2112.11446, table A1.
_LINES, _LINE_CHARACTERS = 0.30, 0.20
_PARAGRAPHS, _PARAGRAPH_CHARACTERS = 0.30, 0.20
_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
_DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}

# A loop is a passage that stands there this often without a break, over this many characters; less
# may be a refrain. It is found by the output's last characters, of which fewer recur by chance.
_TIMES, _LOOP, _TAIL = 8, 200, 16


@dataclass
class Loop(Rule):
    """Object to an output that ends in one passage, over and over.

    A model that cannot stop writes such texts, up to its token limit.
    """

    name: ClassVar[str] = "loop"
    explanation: ClassVar[str] = (
        "The output ends in the same passage at least 8 times without a break and for 200 "
        "characters or more: the model could not stop."
    )

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the passage and how often it stands there."""
        text = record["output"]
        if len(text) < _LOOP:
            return None
        text = text.rstrip()
        last = len(text) - _TAIL
        # In a loop the last characters stand one passage before, and a passage is no longer than
        # this part of the text: nearly every row ends here.
        if text.find(tail := text[last:], last - last // _TIMES) == last:
            return None
        period = last - text.rfind(tail, 0, -1)
        passage = text[-period:]
        times = 1
        while text.endswith(passage, 0, len(text) - times * period):
            times += 1
        # Rules of dashes and dots are drawn on purpose.
        if times < _TIMES or times * period < _LOOP or not re.search(r"\w", passage):
            return None
        shown = shorten(passage.strip())
        message = f"the output ends in {shown!r} {times} times in a row"
        return Rejection("loop", message, {"passage": shown, "times": times})


@dataclass
class Repetition(Rule):
    """Object to a text of which too large a share is repeated lines, paragraphs or word n-grams.

    The measures and limits are those of Rae et al. 2021, arXiv 2112.11446, table A1. They were
    made for web pages: tables, code and verse repeat themselves for good reasons.
    """

    name: ClassVar[str] = "repetition"
    explanation: ClassVar[str] = (
        "Too large a share of a text is repeated lines, paragraphs or word n-grams (the limits of "
        "Rae et al. 2021, table A1); tables, code and verse may be hit."
    )

    field: Annotated[TextField, OptionSpec("the text to measure", one_of(*TEXT_FIELDS))] = "output"
    min_words: Annotated[int, OptionSpec("words from which a text is measured", whole_number)] = 50
    factor: Annotated[float, OptionSpec("multiplies every limit", positive_number)] = 1.0

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the first measure that is above its limit."""
        text = record[self.field]
        if len(text) < 2 * self.min_words - 1:
            return None
        words = text.split()
        if len(words) < self.min_words:
            return None
        for measure, share, limit in _shares(text, words):
            if share > limit * self.factor:
                allowed = round(limit * self.factor, 4)
                message = f"{share:.1%} of the {self.field}'s {measure}; the limit is {allowed:.1%}"
                evidence = {"field": self.field, "share": round(share, 4), "limit": allowed}
                return Rejection("repetition", message, evidence | {"measure": measure})
        return None


def _shares(text: str, words: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield (measure, share, limit), the cheap measures first."""
    for unit, parts, most, most_characters in (
        ("lines", text.splitlines(), _LINES, _LINE_CHARACTERS),
        ("paragraphs", text.split("\n\n"), _PARAGRAPHS, _PARAGRAPH_CHARACTERS),
    ):
        said = [part.strip() for part in parts if part.strip()]
        again = _said_before(said)
        yield f"{unit} were said before", len(again) / len(said), most
        share = _size(again) / _size(said)
        yield f"characters are in {unit} said before", share, most_characters
    characters = _size(words)
    for n, limit in _TOP_NGRAM.items():
        if not _recurs(words, n):
            return  # nor does any longer group
        share = _most_frequent(words, n) / characters
        yield f"characters are in one recurring group of {n} words", share, limit
    for n, limit in _DUPLICATE_NGRAMS.items():
        if not _recurs(words, n):
            return
        share = _duplicated(words, n) / characters
        yield f"characters are in groups of {n} words said before", share, limit


def _size(parts: Iterable[str]) -> int:
    return sum(map(len, parts))


def _said_before(parts: Sequence[str]) -> list[str]:
    """Return the parts that equal an earlier one."""
    seen: set[str] = set()
    again = []
    for part in parts:
        if part in seen:
            again.append(part)
        seen.add(part)
    return again


def _recurs(words: Sequence[str], n: int) -> bool:
    """Tell whether any group of n words stands there twice: quicker than to count them."""
    groups = set(zip(*(words[start:] for start in range(n)), strict=False))
    return len(groups) < len(words) - n + 1


def _most_frequent(words: Sequence[str], n: int) -> int:
    """Return the characters in all occurrences of the most frequent n-gram; 0 if none recurs."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    ngram, count = counts.most_common(1)[0] if counts else ((), 0)
    return _size(ngram) * count if count > 1 else 0


def _duplicated(words: Sequence[str], n: int) -> int:
    """Return the characters in n-grams that occurred before, each character counted once."""
    seen: set[tuple[str, ...]] = set()
    total = place = 0
    while place + n <= len(words):
        ngram = tuple(words[place : place + n])
        if ngram in seen:
            total += _size(ngram)
            place += n
        else:
            seen.add(ngram)
            place += 1
    return total
