"""Split a text into words, sentences, lines, items and numbers, and count them.

The steps of augment/builtin and the checks that verify them share these definitions.
"""

import re
from collections.abc import Callable
from decimal import Decimal

# A word runs from its first to its last letter or digit: surrounding punctuation does not belong to
# it, an apostrophe, a hyphen or a decimal point inside does.
_WORD = re.compile(r"[^\W_](?:[^\s—]*[^\W_])?")

# Scripts without spaces between words, which regular expressions cannot split into words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff]")

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]*_]*(?=\s|$)|[。！？]+[”’」』）]*|\n+")
_NOT_AN_END = re.compile(
    r"(?:^|[\s(\"'“])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Nr|Inc|Ltd|Co|Fig|approx|e\.g|i\.e|etc|cf"
    r"|z\.B|d\.h|[A-Za-z]|\d{1,2}|[A-Za-z](?:\.[A-Za-z])+)$"
)

_LETTER = "A-Za-zÀ-ÖØ-öø-ɏͰ-ӿ"  # scripts in which a digit next to a letter is part of a name
_NUMBER = re.compile(
    rf"((?<![\w)\]%.])[-−–](?=[$€£¥]?\.?\d))?[$€£¥]?"
    rf"((?<![{_LETTER}\d_])(?<!\d\.)(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)(?:\.\d+)?"
    rf"|(?<![\w.])\.\d+)"
)
# Digits whose value depends on the locale, or that are not a separate number: 80.000, 80 000, 3/4,
# 10:30, 2-5, x², 5kg, 1st, A4, COVID-19.
_UNCLEAR_DIGITS = re.compile(
    r"\d{1,3}\.\d{3}(?!\d)|\d[ \u00a0\u202f]\d{3}(?!\d)|\d,\d(?!\d{2}(?!\d))|\d[-−–/:^*=.+×]\d"
    rf"(?<!\d\.\d)|\d[{_LETTER}²³°'′″]|[{_LETTER}]-?\d|[²³√^_\\]|\d\.\d+\.\d"
)

_BULLET = re.compile(r"\s*(?:[-*•‣–]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])\s+(?=\S)")


def words(text: str) -> list[str]:
    """Return the words in order, split at white space and em dashes, without outer punctuation."""
    return _WORD.findall(text)


def is_space_separated(text: str) -> bool:
    """Return whether the script puts spaces between words, so that words can be counted."""
    return text.isascii() or not _UNSPACED.search(text)


def count_letters(text: str) -> int:
    """Return the number of letters of any script."""
    return sum(map(str.isalpha, text))


def lines(text: str) -> list[str]:
    """Return the lines that are not blank, without surrounding white space."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Return the blocks of text between blank lines, without surrounding white space."""
    return [block.strip() for block in re.split(r"\n[ \t]*\n", text) if block.strip()]


def sentences(text: str) -> list[str]:
    """Return the sentences in order; a line break ends one, a common abbreviation does not."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if end[0].startswith(".") and not _is_sentence_end(text, start, end):
            continue
        if sentence := text[start : end.end()].strip():
            found.append(sentence)
        start = end.end()
    if rest := text[start:].strip():
        found.append(rest)
    return found


def _is_sentence_end(text: str, start: int, end: re.Match[str]) -> bool:
    following = text[end.end() :].lstrip()[:1]
    if following.islower():
        return False
    return not following or not _NOT_AN_END.search(text[max(start, end.start() - 12) : end.start()])


def clear_sentences(text: str) -> list[str]:
    """Return the sentences, or [] if the text could also be split in other ways.

    That is the case for texts of several lines, with quotes or ellipses, or with parts that do not
    begin and end like sentences.
    """
    if "\n" in text.strip() or any(sign in text for sign in '"“”„…') or ".." in text:
        return []
    found = sentences(text)
    clear = all((s[0].isupper() or s[0] in "¿¡") and s[-1] in ".!?" and len(s) > 3 for s in found)
    return found if clear and not re.search(r"\d\.(?:\s|$)|\b\w\.\w|[a-z][.!?][A-Z]", text) else []


def items(text: str) -> list[str]:
    """Return the items of a list: its marked lines, or else lines, sentences or comma parts."""
    rows = lines(text)
    marked = [row[mark.end() :].strip() for row in rows if (mark := _BULLET.match(row))]
    if len(marked) > 1:
        return marked
    if len(rows) > 1:
        return rows
    if len(parts := sentences(text)) > 1:
        return parts
    bare = text.strip().rstrip(".")
    parts = [part.strip() for part in re.split(r", (?:and |or )?|; | and (?=[^,]*$)", bare)]
    return parts if len(parts) > 2 and all(parts) else [text.strip()]


def marked_lines(text: str) -> list[tuple[str, str]]:
    """Return (bullet or number, content) of every line that is not blank; "" for no marker."""
    pairs = []
    for row in lines(text):
        mark = _BULLET.match(row)
        pairs.append((mark[0].strip(), row[mark.end() :].strip()) if mark else ("", row))
    return pairs


def parse_number(text: str) -> Decimal | None:
    """Parse one number as written in English: sign, thousands separators, decimal point."""
    match = _NUMBER.fullmatch(text.strip())
    return _decimal_value(match) if match else None


def numbers(text: str) -> list[Decimal]:
    """Return every number written in digits, in order."""
    return [_decimal_value(match) for match in _NUMBER.finditer(text)]


def clear_numbers(text: str) -> list[str]:
    """Return the numbers as they are written, or [] if one of them is ambiguous.

    That is the case for digits in fractions, times, ranges, names and units, and for a separator
    that means a decimal point in one country and thousands in another.
    """
    if _UNCLEAR_DIGITS.search(text):
        return []
    return [(match[1] or "") + match[2] for match in _NUMBER.finditer(text)]


def _decimal_value(match: re.Match[str]) -> Decimal:
    value = Decimal(match[2].replace(",", ""))
    return -value if match[1] else value


def format_number(value: Decimal) -> str:
    """Return a number without exponent, separators and trailing zeros: 12, -0.5, 1500."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


UNITS: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(words(text)),
    "letters": count_letters,
    "sentences": lambda text: len(sentences(text)),
    "paragraphs": lambda text: len(paragraphs(text)),
    "lines": lambda text: len(lines(text)),
    "items": lambda text: len(items(text)),
    "numbers": lambda text: len(numbers(text)),
}
"""Counting functions by the names that checks use as `unit`."""
