"""The words of a text as they are compared between files, whatever its script and typography."""

import re
import unicodedata
from functools import cache

# Scripts that put no spaces between words. Han and kana: two characters say about a word; Thai,
# Lao, Khmer and Burmese: three letters with what is written above and below them.
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_HAN_WORD = re.compile(f"[{_HAN}]")
_THAI_WORD = re.compile(f"[{_THAI}]")

# What Arabic and Hebrew may be written with or without; and characters that nobody sees.
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u00ad\u200b-\u200f\u2060\ufeff]"
)
_SENTENCE_END = re.compile(r"[.!?:;\n…。！？：；؟।۔]+")
_ENDS = str.maketrans(dict.fromkeys(".!?:;", "\n"))
_LETTERS = re.compile(r"[^\W_]{1,3}")
_ASIDE = " \t\"'“”‘’«»()[]*_#>"
_STOPS = (*".!?:;…。！？：；؟।۔-–—•\n", "")
_LOWER = bytes(code if chr(code).isalnum() else 32 for code in bytes(range(128)).lower())
_ASCII = _LOWER + bytes(128)


def words(text: str) -> list[str]:
    """Return the words in folded case, without punctuation and typography (NFKC).

    In scripts without spaces each character, with the marks on it, stands for a word.
    """
    if text.isascii():  # a third of what an expression costs
        return text.encode().translate(_ASCII).decode().split()
    return _word().findall(folded(text))


def folded(text: str) -> str:
    """Return the text in folded case and NFKC, without points that may be written or not."""
    if text.isascii():
        return text.lower()
    return _POINTS.sub("", unicodedata.normalize("NFKC", text).casefold())


def is_sentence(tokens: list[str], text: str) -> bool:
    """Tell whether these words in a row are a sentence or a line of the text, or all of it."""
    text = folded(text)
    for match in re.finditer(r"[\W_]*".join(map(re.escape, tokens)), text):
        before, after = text[: match.start()].rstrip(_ASIDE), text[match.end() :].lstrip(_ASIDE)
        if before[-1:] in _STOPS and after[:1] in _STOPS:
            return True
    return False


def sentences(text: str, longest: int) -> list[str]:
    """Return the sentences and lines of at most so many characters, punctuation off."""
    is_plain = text.isascii()  # then a table is three times as fast as an expression
    parts = text.translate(_ENDS).split("\n") if is_plain else _SENTENCE_END.split(text)
    return [part for part in parts if 0 < len(part) <= longest]


def beginning(text: str) -> str:
    """Return up to three letters of the first word in folded case: quick to tell texts apart."""
    found = _LETTERS.search(text)
    return found[0].casefold() if found else ""


def tokens_a_word(tokens: list[str]) -> int:
    """Return how many of these say about as much as a word of a script with spaces."""
    han = sum(1 for token in tokens if _HAN_WORD.match(token))
    thai = sum(1 for token in tokens if _THAI_WORD.match(token))
    if 2 * (han + thai) <= len(tokens):
        return 1
    return 2 if han >= thai else 3


def joined(tokens: list[str]) -> str:
    """Return the words as a text to show."""
    text = " ".join(tokens)
    return text if text.isascii() else _GAP.sub("", text)


_GAP = re.compile(f"(?<=[{_HAN}{_THAI}]) (?=[{_HAN}{_THAI}])")


@cache
def _word() -> re.Pattern[str]:
    """Return the expression of a word: made for the first text that needs it, which takes 10 ms."""
    marks = "".join(
        chr(code) for code in range(0x300, 0xFE30) if unicodedata.category(chr(code))[0] == "M"
    )
    alone = _HAN + _THAI
    return re.compile(f"(?=[^\\W_])[{alone}][{marks}]*|[^\\W_{alone}](?:[^\\W_{alone}]|[{marks}])*")
