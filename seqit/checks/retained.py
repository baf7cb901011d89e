"""Find content of an original text that a rewrite has lost: tables, code, options, numbers, …

The comparison ignores case, white space, the kind of quotation marks and dashes, markup around a
word, and how a number is written (1,000 and 1000, "three" and 3).
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from seqit.checks import matching, text_units
from seqit.checks.verbatim_spans import VerbatimSpan, find_verbatim_spans
from seqit.checks.words import content_words, share_within

MIN_WORD_SHARE = 0.5
"""The share of a sentence's content words that must occur in the rewrite."""

MIN_REPHRASED_SHARE = {"question": 0.4, "wording": 0.3}
"""The same if rephrasing is allowed: for each question, and for the text as a whole."""

_MIN_CONTENT_WORDS = 3  # a sentence with fewer is lost only if all of them are missing
_MIN_SUBSTRING_LENGTH = 12  # characters: a shorter text could be part of other words by chance


class LostContent(NamedTuple):
    """A passage of the original that is missing in the rewritten text.

    Kinds: code, table, option, link, quote, number, question, and wording for any other sentence.
    """

    kind: str
    text: str


def lost_content(
    original: str, rewritten: str, context: str = "", *, rephrased: bool = False
) -> list[LostContent]:
    """Return what the original contains and the rewritten text does not.

    Content may also occur in `context`, a text that accompanies the rewritten one, such as the
    record's input. `rephrased` allows other words for questions and wording, as after a
    decomposition of the task.
    """
    new = _RewrittenText(f"{rewritten}\n{context}")
    spans, wording = find_verbatim_spans(original)
    lost = [LostContent(span.kind, span.text.strip()) for span in spans if not new.contains(span)]
    options = [(span, original[span.start : span.end]) for span in spans if span.kind == "option"]
    lost += [
        LostContent("option", line.strip()) for span, line in options if new.relabels(span, line)
    ]
    lost += [
        LostContent("number", text) for text, value in _numbers(wording) if value not in new.numbers
    ]
    lost += new.missing_sentences(wording, rephrased)
    return list(dict.fromkeys(lost))


class _RewrittenText:
    """The rewritten text in the normalized forms that lookups need, computed once."""

    def __init__(self, text: str) -> None:
        self._plain = _plain(text)
        self._without_spaces = self._plain.replace(" ", "")
        self._alphanumeric = _NOT_ALPHANUMERIC.sub("", self._plain)
        self._words = set(content_words(text))
        self.numbers = {value for _, value in _numbers(text, loose=True)}

    def contains(self, span: VerbatimSpan) -> bool:
        """Return whether the span occurs: if short as whole words, if long with any spacing."""
        text = _plain(span.text).strip(" .,;:!?")
        start = r"(?<!\w)" if _has_word_boundary(text[:1]) else ""
        end = r"(?!\w)" if _has_word_boundary(text[-1:]) else ""
        if re.search(start + re.escape(text) + end, self._plain):
            return True
        if len(text) < _MIN_SUBSTRING_LENGTH:
            return False
        if span.kind == "quote":  # punctuation in a quotation may differ
            return _NOT_ALPHANUMERIC.sub("", text) in self._alphanumeric
        return text.replace(" ", "") in self._without_spaces

    def relabels(self, option: VerbatimSpan, line: str) -> bool:
        """Return whether the option has another letter than in `line`, its line in the original."""
        label = _LABEL.match(line)
        text = re.escape(_plain(option.text).strip(" .,;:!?"))
        if not label or not text:
            return False
        letters = re.findall(rf"(?<!\w)([a-z])[.)]+ {text}(?!\w)", self._plain)
        return bool(letters) and label[1].casefold() not in letters

    def missing_sentences(self, wording: str, rephrased: bool) -> Iterator[LostContent]:
        """Yield the questions and other sentences too few of whose words occur."""
        sentences = text_units.sentences(wording)
        questions = [each for each in sentences if each.endswith(("?", "？", "؟"))]
        others = [each for each in sentences if each not in questions]
        if rephrased:
            yield from self._missing("question", questions, MIN_REPHRASED_SHARE["question"])
            yield from self._missing("wording", [wording], MIN_REPHRASED_SHARE["wording"])
        else:
            yield from self._missing("question", questions, MIN_WORD_SHARE)
            yield from self._missing("wording", others, MIN_WORD_SHARE)
        for text in others:  # short ones too
            words = content_words(text)
            if words and len(text_units.words(text)) > 1 and not share_within(words, self._words):
                yield LostContent("wording", " ".join(text.split()))

    def _missing(self, kind: str, texts: list[str], min_share: float) -> Iterator[LostContent]:
        for text in texts:
            words = content_words(text)
            too_short = kind == "wording" and len(set(words)) < _MIN_CONTENT_WORDS
            if not too_short and share_within(words, self._words) < min_share:
                yield LostContent(kind, " ".join(text.split()))


def _has_word_boundary(character: str) -> bool:
    """Return whether a word that begins or ends with the character is delimited by spaces."""
    return text_units.is_space_separated(character) and character.isalnum()


_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("‐‑‒–—−", "-") | {"…": "..."} | dict.fromkeys("\"'`“”„‘’«»「」*|\\", " ")
)
_LABEL = re.compile(r"\W*([A-Za-z])[.)]\s")
_BREAK = re.compile(r"<br ?/?>")
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    """Return the text case-folded, without quotes and markup, with single spaces between words."""
    folded = unicodedata.normalize("NFC", _BREAK.sub(" ", text.casefold()))
    return " ".join(folded.translate(_TYPOGRAPHY).split())


_DIGITS = re.compile(  # .10; 1,000 and the like; 10
    r"(?<![\w.])\.\d+|(?<!\d)\d{1,3}(?:[, \u00a0\u202f']\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"
)
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")
_NUMBER_WORDS = {word: value for value, word in matching.NUMBER_WORDS.items()}
# Words that may express a number of the original in the rewrite, but are not numbers to look for.
_NUMBER_SYNONYMS = _NUMBER_WORDS | dict.fromkeys(("both", "twice", "pair", "couple"), 2)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_NUMBER_SYNONYMS |= {word: value for value, word in enumerate(_ORDINALS, 1)} | {"dozen": 12}
# German, French and Spanish, from 2 on.
_OTHER_LANGUAGES = (
    "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "deux trois quatre cinq six sept huit neuf dix onze douze",
    "dos tres cuatro cinco seis siete ocho nueve diez once doce",
)
_NUMBER_SYNONYMS |= {
    word: value for line in _OTHER_LANGUAGES for value, word in enumerate(line.split(), 2)
}
_TIMES_SUFFIX = re.compile("(?:mal|fach)$")  # dreimal
_CHINESE = dict.fromkeys("两兩", 2) | {sign: n for n, sign in enumerate("一二三四五六七八九十", 1)}


def _numbers(text: str, loose: bool = False) -> Iterator[tuple[str, Decimal]]:
    """Yield each number as it is written, and its value.

    "one" is omitted, because it is more often a pronoun. `loose` yields it, and synonyms too.
    """
    for match in _DIGITS.finditer(text):
        yield match[0], Decimal(re.sub(r"[^\d.]", "", match[0]))
    for match in _LETTERS.finditer(text):
        word = match[0].casefold()
        if loose:
            value = _NUMBER_SYNONYMS.get(_TIMES_SUFFIX.sub("", word))
        else:
            value = _NUMBER_WORDS.get(word)
        if value is not None and (loose or value > 1):
            yield match[0], Decimal(value)
    if loose:
        yield from ((sign, Decimal(_CHINESE[sign])) for sign in text if sign in _CHINESE)
