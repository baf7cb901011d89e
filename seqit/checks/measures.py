"""What can be measured in a text: the one definition that solvers and checkers share."""

import re
from collections.abc import Callable
from decimal import Decimal

# A word runs from its first to its last letter or digit: outer punctuation does not belong to it,
# an apostrophe, a hyphen or a decimal point inside does.
_WORD = re.compile(r"[^\W_](?:[^\s—]*[^\W_])?")

# Scripts that do not put spaces between words: a word there is no matter of regular expressions.
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
# Digits whose reading depends on the country, or that are no number of their own: 80.000, 80 000,
# 3/4, 10:30, 2-5, x², 5kg, 1st, A4, COVID-19.
_UNCLEAR_DIGITS = re.compile(
    r"\d{1,3}\.\d{3}(?!\d)|\d[ \u00a0\u202f]\d{3}(?!\d)|\d,\d(?!\d{2}(?!\d))|\d[-−–/:^*=.+×]\d"
    rf"(?<!\d\.\d)|\d[{_LETTER}²³°'′″]|[{_LETTER}]-?\d|[²³√^_\\]|\d\.\d+\.\d"
)

_BULLET = re.compile(r"\s*(?:[-*•‣–]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])\s+(?=\S)")


def words(text: str) -> list[str]:
    """Return the words in order: what spaces and long dashes separate, outer punctuation off."""
    return _WORD.findall(text)


def spaced(text: str) -> bool:
    """Say whether the text separates its words by spaces, so that words can be counted."""
    return text.isascii() or not _UNSPACED.search(text)


def letters(text: str) -> int:
    """Return how many letters the text has, in any script."""
    return sum(map(str.isalpha, text))


def lines(text: str) -> list[str]:
    """Return the lines that are not blank, without surrounding space."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Return the blocks of text between blank lines."""
    return [block.strip() for block in re.split(r"\n[ \t]*\n", text) if block.strip()]


def sentences(text: str) -> list[str]:
    """Return the sentences in order; a line break ends one, a common abbreviation does not."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if end[0].startswith(".") and not _ends_here(text, start, end):
            continue
        if sentence := text[start : end.end()].strip():
            found.append(sentence)
        start = end.end()
    if rest := text[start:].strip():
        found.append(rest)
    return found


def _ends_here(text: str, start: int, end: re.Match[str]) -> bool:
    following = text[end.end() :].lstrip()[:1]
    if following.islower():
        return False
    return not following or not _NOT_AN_END.search(text[max(start, end.start() - 12) : end.start()])


def clear_sentences(text: str) -> list[str]:
    """Return the sentences, or nothing where a reader could draw a border elsewhere.

    Left out are texts of several lines, with quotes, ellipses, or parts that do not begin and end
    as sentences do.
    """
    if "\n" in text.strip() or any(sign in text for sign in '"“”„…') or ".." in text:
        return []
    found = sentences(text)
    clear = all((s[0].isupper() or s[0] in "¿¡") and s[-1] in ".!?" and len(s) > 3 for s in found)
    return found if clear and not re.search(r"\d\.(?:\s|$)|\b\w\.\w|[a-z][.!?][A-Z]", text) else []


def items(text: str) -> list[str]:
    """Return what the text lists: its marked lines, else its lines, sentences or comma parts."""
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
    """Return (marker, content) of every line that is not blank; the marker is "" without one."""
    pairs = []
    for row in lines(text):
        mark = _BULLET.match(row)
        pairs.append((mark[0].strip(), row[mark.end() :].strip()) if mark else ("", row))
    return pairs


def number(text: str) -> Decimal | None:
    """Read one number as it is written in English: sign, thousands separators, decimal point."""
    match = _NUMBER.fullmatch(text.strip())
    return _value(match) if match else None


def numbers(text: str) -> list[Decimal]:
    """Return every number written in digits, in order."""
    return [_value(match) for match in _NUMBER.finditer(text)]


def clear_numbers(text: str) -> list[str]:
    """Return the numbers as they are written, or nothing where a reader could disagree on one.

    Left out are texts with digits in fractions, times, ranges, names, units, or with a separator
    that means a decimal point in one country and thousands in another.
    """
    if _UNCLEAR_DIGITS.search(text):
        return []
    return [(match[1] or "") + match[2] for match in _NUMBER.finditer(text)]


def _value(match: re.Match[str]) -> Decimal:
    value = Decimal(match[2].replace(",", ""))
    return -value if match[1] else value


def plain_number(value: Decimal) -> str:
    """Return the shortest usual way to write a number: 12, -0.5, 1500."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


UNITS: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(words(text)),
    "letters": letters,
    "sentences": lambda text: len(sentences(text)),
    "paragraphs": lambda text: len(paragraphs(text)),
    "lines": lambda text: len(lines(text)),
    "items": lambda text: len(items(text)),
    "numbers": lambda text: len(numbers(text)),
}
"""What can be counted in a text, by the name that a check calls it."""
