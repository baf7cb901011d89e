"""What a rewritten text must still hold of the original: tables, code, options, numbers and more.

Compared is what is said, not how it is set: case, white space, quotation marks and dashes of any
kind, markup around a word, 1,000 and 1000, "three" and 3 make no difference.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from seqit.checks import measures, readings
from seqit.checks.pieces import Piece, pieces
from seqit.checks.words import content_words, share_within

LEAST_SHARE = 0.5
"""How many of the content words of a sentence must come back."""

LEAST_REPHRASED = {"question": 0.4, "wording": 0.3}
"""The same where it may be put in other words: of a question, and of the text as a whole."""

_SENTENCE = 3  # content words: a sentence of fewer is only missed where all of them are
_SHORT = 12  # characters: a shorter text could be part of other words by chance


class LostContent(NamedTuple):
    """One thing of the original that the rewritten text lacks.

    Kinds: code, table, option, link, quote, number, question and wording: any other sentence.
    """

    kind: str
    text: str


def lost_content(
    original: str, rewritten: str, beside: str = "", *, rephrased: bool = False
) -> list[LostContent]:
    """Return what the original holds and the rewritten text does not.

    `beside` stays beside the rewritten text, as a record's input does. `rephrased` says that
    questions and wording may have been put in other words, as where a task is decomposed.
    """
    now = _Now(f"{rewritten}\n{beside}")
    found, wording = pieces(original)
    lost = [LostContent(piece.kind, piece.text.strip()) for piece in found if not now.has(piece)]
    options = [
        (piece, original[piece.start : piece.end]) for piece in found if piece.kind == "option"
    ]
    lost += [
        LostContent("option", line.strip()) for piece, line in options if now.relabels(piece, line)
    ]
    lost += [
        LostContent("number", text) for text, value in _numbers(wording) if value not in now.numbers
    ]
    lost += now.lacks(wording, rephrased)
    return list(dict.fromkeys(lost))


class _Now:
    """The rewritten text, prepared for looking things up."""

    def __init__(self, text: str) -> None:
        self._plain = _plain(text)
        self._dense = self._plain.replace(" ", "")
        self._letters = _SIGNS.sub("", self._plain)
        self._words = set(content_words(text))
        self.numbers = {value for _, value in _numbers(text, meant=True)}

    def has(self, piece: Piece) -> bool:
        """Say whether a piece is there: a short one as whole words, a longer one anyhow spaced."""
        sought = _plain(piece.text).strip(" .,;:!?")
        start = r"(?<!\w)" if measures.spaced(sought[:1]) and sought[:1].isalnum() else ""
        end = r"(?!\w)" if measures.spaced(sought[-1:]) and sought[-1:].isalnum() else ""
        if re.search(start + re.escape(sought) + end, self._plain):
            return True
        if len(sought) < _SHORT:
            return False
        if piece.kind == "quote":  # a comma more or less is still the quotation
            return _SIGNS.sub("", sought) in self._letters
        return sought.replace(" ", "") in self._dense

    def relabels(self, option: Piece, line: str) -> bool:
        """Say whether an option has another letter now than it had in its line."""
        label = _LABEL.match(line)
        sought = re.escape(_plain(option.text).strip(" .,;:!?"))
        if not label or not sought:
            return False
        letters = re.findall(rf"(?<!\w)([a-z])[.)]+ {sought}(?!\w)", self._plain)
        return bool(letters) and label[1].casefold() not in letters

    def lacks(self, wording: str, rephrased: bool) -> Iterator[LostContent]:
        """Yield the questions and the other wording of which too few words are left."""
        sentences = measures.sentences(wording)
        questions = [each for each in sentences if each.endswith(("?", "？", "؟"))]
        others = [each for each in sentences if each not in questions]
        if rephrased:
            yield from self._gone("question", questions, LEAST_REPHRASED["question"])
            yield from self._gone("wording", [wording], LEAST_REPHRASED["wording"])
        else:
            yield from self._gone("question", questions, LEAST_SHARE)
            yield from self._gone("wording", others, LEAST_SHARE)
        for text in others:  # short ones too
            words = content_words(text)
            if words and len(measures.words(text)) > 1 and not share_within(words, self._words):
                yield LostContent("wording", " ".join(text.split()))

    def _gone(self, kind: str, texts: list[str], least: float) -> Iterator[LostContent]:
        for text in texts:
            words = content_words(text)
            says_little = kind == "wording" and len(set(words)) < _SENTENCE
            if not says_little and share_within(words, self._words) < least:
                yield LostContent(kind, " ".join(text.split()))


_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("‐‑‒–—−", "-") | {"…": "..."} | dict.fromkeys("\"'`“”„‘’«»「」*|\\", " ")
)
_LABEL = re.compile(r"\W*([A-Za-z])[.)]\s")
_BREAK = re.compile(r"<br ?/?>")
_SIGNS = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    """Return the text without typography and markup, one blank between words, in folded case."""
    folded = unicodedata.normalize("NFC", _BREAK.sub(" ", text.casefold()))
    return " ".join(folded.translate(_TYPOGRAPHY).split())


_DIGITS = re.compile(  # .10; 1,000 and the like; 10
    r"(?<![\w.])\.\d+|(?<!\d)\d{1,3}(?:[, \u00a0\u202f']\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"
)
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")
_SAID = {word: value for value, word in readings.NUMBERS_IN_WORDS.items()}
# Words that may stand for a number, and are none where a number is sought.
_MEANT = _SAID | dict.fromkeys(("both", "twice", "pair", "couple"), 2)
_MEANT |= {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "dozen": 12}
# The same, from 2 on, in German, French and Spanish.
_ELSEWHERE = (
    "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "deux trois quatre cinq six sept huit neuf dix onze douze",
    "dos tres cuatro cinco seis siete ocho nueve diez once doce",
)
_MEANT |= {word: value for line in _ELSEWHERE for value, word in enumerate(line.split(), 2)}
_TIMES = re.compile("(?:mal|fach)$")  # dreimal
_CHINESE = dict.fromkeys("两兩", 2) | {sign: n for n, sign in enumerate("一二三四五六七八九十", 1)}


def _numbers(text: str, meant: bool = False) -> Iterator[tuple[str, Decimal]]:
    """Yield each number as it is written, and its value; "one" is more often a pronoun."""
    for match in _DIGITS.finditer(text):
        yield match[0], Decimal(re.sub(r"[^\d.]", "", match[0]))
    for match in _LETTERS.finditer(text):
        word = match[0].casefold()
        value = _MEANT.get(_TIMES.sub("", word)) if meant else _SAID.get(word)
        if value is not None and (meant or value > 1):
            yield match[0], Decimal(value)
    if meant:
        yield from ((sign, Decimal(_CHINESE[sign])) for sign in text if sign in _CHINESE)
