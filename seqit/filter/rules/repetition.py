"""Rules about texts that repeat themselves."""

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

# A loop is a passage that is repeated at least this often without a break, over this many
# characters; less may be a refrain. It is found by the output's last characters: a shorter tail
# would recur by chance.
_MIN_REPEATS, _MIN_LOOP_CHARACTERS, _TAIL_CHARACTERS = 8, 200, 16


@dataclass
class Loop(Rule):
    """Reject an output that ends in one passage, repeated over and over.

    Models that fail to stop write such texts, up to their token limit.
    """

    name: ClassVar[str] = "loop"
    explanation: ClassVar[str] = (
        "The output ends in the same passage at least 8 times without a break and for 200 "
        "characters or more: the model did not stop."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the passage and how often it is repeated."""
        text = record["output"]
        if len(text) < _MIN_LOOP_CHARACTERS:
            return None
        text = text.rstrip()
        last = len(text) - _TAIL_CHARACTERS
        # In a loop the tail occurs one passage earlier, too, and a passage is at most this part of
        # the text long: nearly every row returns here.
        if text.find(tail := text[last:], last - last // _MIN_REPEATS) == last:
            return None
        period = last - text.rfind(tail, 0, -1)
        passage = text[-period:]
        times = 1
        while text.endswith(passage, 0, len(text) - times * period):
            times += 1
        # Lines of dashes and dots are intended.
        if (
            times < _MIN_REPEATS
            or times * period < _MIN_LOOP_CHARACTERS
            or not re.search(r"\w", passage)
        ):
            return None
        shown = shorten(passage.strip())
        message = f"the output ends in {shown!r} {times} times in a row"
        return Rejection("loop", message, {"passage": shown, "times": times})


@dataclass
class Repetition(Rule):
    """Reject a text of which too large a share is repeated lines, paragraphs or word n-grams.

    The metrics and limits are those of Rae et al. 2021, arXiv 2112.11446, table A1. They were
    made for web pages: tables, code and verse are often repetitive.
    """

    name: ClassVar[str] = "repetition"
    explanation: ClassVar[str] = (
        "Too large a share of a text is repeated lines, paragraphs or word n-grams (the limits of "
        "Rae et al. 2021, table A1); tables, code and verse may be rejected, too."
    )

    field: Annotated[TextField, OptionSpec("the text to measure", one_of(*TEXT_FIELDS))] = "output"
    min_words: Annotated[int, OptionSpec("texts of fewer words pass", whole_number)] = 50
    factor: Annotated[float, OptionSpec("multiplies every limit", positive_number)] = 1.0

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the first metric that is above its limit."""
        text = record[self.field]
        if len(text) < 2 * self.min_words - 1:
            return None
        words = text.split()
        if len(words) < self.min_words:
            return None
        for metric, share, limit in _repetition_shares(text, words):
            if share > limit * self.factor:
                allowed = round(limit * self.factor, 4)
                message = f"{share:.1%} of the {self.field}'s {metric}; the limit is {allowed:.1%}"
                evidence = {"field": self.field, "share": round(share, 4), "limit": allowed}
                return Rejection("repetition", message, evidence | {"measure": metric})
        return None


def _repetition_shares(text: str, words: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield (metric, share, limit), the cheap metrics first."""
    for unit, parts, max_share, max_character_share in (
        ("lines", text.splitlines(), _LINES, _LINE_CHARACTERS),
        ("paragraphs", text.split("\n\n"), _PARAGRAPHS, _PARAGRAPH_CHARACTERS),
    ):
        stripped = [part.strip() for part in parts if part.strip()]
        repeated = _repeated(stripped)
        yield f"{unit} were said before", len(repeated) / len(stripped), max_share
        share = _total_length(repeated) / _total_length(stripped)
        yield f"characters are in {unit} said before", share, max_character_share
    characters = _total_length(words)
    for n, limit in _TOP_NGRAM.items():
        if not _has_repeated_ngram(words, n):
            return  # then no longer one is repeated, either
        share = _top_ngram_characters(words, n) / characters
        yield f"characters are in one recurring group of {n} words", share, limit
    for n, limit in _DUPLICATE_NGRAMS.items():
        if not _has_repeated_ngram(words, n):
            return
        share = _duplicate_ngram_characters(words, n) / characters
        yield f"characters are in groups of {n} words said before", share, limit


def _total_length(parts: Iterable[str]) -> int:
    return sum(map(len, parts))


def _repeated(parts: Sequence[str]) -> list[str]:
    """Return the parts that equal an earlier part."""
    seen: set[str] = set()
    repeated = []
    for part in parts:
        if part in seen:
            repeated.append(part)
        seen.add(part)
    return repeated


def _has_repeated_ngram(words: Sequence[str], n: int) -> bool:
    """Return whether any n-gram occurs twice, which is faster than to count all."""
    groups = set(zip(*(words[start:] for start in range(n)), strict=False))
    return len(groups) < len(words) - n + 1


def _top_ngram_characters(words: Sequence[str], n: int) -> int:
    """Return the characters in all occurrences of the most frequent n-gram; 0 if none recurs."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    ngram, count = counts.most_common(1)[0] if counts else ((), 0)
    return _total_length(ngram) * count if count > 1 else 0


def _duplicate_ngram_characters(words: Sequence[str], n: int) -> int:
    """Return the characters in n-grams that occurred before, each character counted once."""
    seen: set[tuple[str, ...]] = set()
    total = place = 0
    while place + n <= len(words):
        ngram = tuple(words[place : place + n])
        if ngram in seen:
            total += _total_length(ngram)
            place += n
        else:
            seen.add(ngram)
            place += 1
    return total
