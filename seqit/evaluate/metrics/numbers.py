"""Numbers as people write them in eleven languages and more, read exactly.

The rules are in docs/scoring.md.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

_DECIMAL_COMMA = frozenset(
    "de es fr ru it pt nl pl tr vi id el ro uk cs da sv no fi hu".split()  # noqa: SIM905
)
_SPACED = _DECIMAL_COMMA  # where a plain space may stand between thousands

_SPACES = "\u00a0\u2009\u202f\u2007"  # never between two numbers, so part of one everywhere
_APOSTROPHES = "'’"
_LOOKS = str.maketrans("−–‒﹣－，．٬٫％", "-----,.'\u0001%")
_DECIMAL_SIGN = "\u0001"  # a separator that is the decimal sign in every language
_GROUP = rf"[.,{_APOSTROPHES}{_SPACES} ]"

_DIGITS = re.compile(rf"(?:\d+(?:{_GROUP}\d+)*)?(?:(?:(?<=\d)|(?<![\w.,]))[.{_DECIMAL_SIGN}]\d+)?")
_FRACTION = re.compile(r"(?<![\d/⁄])(\d+)\s?[/⁄]\s?(\d+)(?![\d/⁄])")
_MIXED = re.compile(r"(\d+)\s(\d+)[/⁄](\d+)(?![\d/⁄])")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_LATEX_COMMA, _LATEX_SPACE = (
    re.compile(r"(?<=\d)\{,\}(?=\d)"),
    re.compile(r"(?<=\d)\\[,;:! ](?=\d)"),
)

_CURRENCY = r"(?:[$€£¥₹₽฿₩₪¢￥元]|US\$|\\\$|USD|EUR|GBP|RUB|CNY|RMB|JPY|CHF|Rs\.?|[KT]?Sh)"
# A minus touches its number. With a space between it is a bullet or an operator, unless nothing but
# a sign of equality, a colon or a bracket stands before it.
_MINUS = re.compile(
    rf"(?:^|(?<![\w)\]%.])(?<![\d)]\s))-(?:{_CURRENCY}\s?)?\Z|(?:[=:(]\s?)-\s(?:{_CURRENCY}\s?)?\Z"
)
_MINUS_WORDS = re.compile(
    r"(?:^|(?<![\d\w]))(?:minus|negativ|negative|"  # codespell:ignore negativ
    r"menos|moins|négatif|минус|hasi|toa|负|負|マイナス"
    r"|ลบ|ঋণাত্মক|মাইনাস|మైనస్|ناقص|سالب)\s?\Z",
    re.IGNORECASE,
)
_LATIN_BEFORE = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ_]+\Z")
_CURRENCY_BEFORE = re.compile(rf"(?:^|[^A-Za-z]){_CURRENCY}\Z|(?:^|[^A-Za-z])x\Z", re.IGNORECASE)

_LARGE = (
    (10**4, "万|萬"),
    (10**8, "億|亿"),
    (10**3, "千|thousand|tausend|mille?|тыс(?:яч[аи]?|\\.)?|elfu"),
    (10**6, "百万|millions?|Millionen|mill(?:ón|ones)|миллион(?:а|ов)?|млн|milioni"),
    (10**9, "billions?|Milliarden?|milliards?|миллиард(?:а|ов)?|млрд|bilioni"),
)
_LARGE_AFTER = [
    (value, re.compile(rf"\s?(?:{words})(?![A-Za-zÀ-ɏА-я])", re.IGNORECASE))
    for value, words in reversed(_LARGE)
]


class Number(NamedTuple):
    """A number with its place in the text that it was read from."""

    value: Fraction
    start: int
    end: int


def plain_digits(text: str) -> str:
    """Return the text with the digits 0 to 9 in place of those of other scripts, sign for sign."""
    if text.isascii():
        return text
    return "".join(map(_digit, text.translate(_LOOKS)))


def _digit(sign: str) -> str:
    value = unicodedata.decimal(sign, None)
    return sign if value is None else str(value)


def numbers(text: str, language: str = "") -> list[Number]:
    """Return the numbers of a text in order, as the language writes them; exact fractions."""
    text = _LATEX_FRACTION.sub(lambda m: f"{m[1]}/{m[2]}", plain_digits(text))
    text = _LATEX_SPACE.sub("\u202f", _LATEX_COMMA.sub(",", text))
    return list(_found(_vulgar(text), language))


def last_number(text: str, language: str = "") -> Fraction | None:
    """Return the value of the last number of a text, or None where there is no number."""
    found = numbers(text, language)
    return found[-1].value if found else None


def _vulgar(text: str) -> str:
    """Write ½ as 1/2, and 2½ as 2 1/2."""
    if text.isascii():
        return text
    parts: list[str] = []
    for sign in text:
        spelled = unicodedata.normalize("NFKC", sign) if unicodedata.category(sign) == "No" else ""
        if "⁄" in spelled:
            gap = " " if parts and parts[-1][-1:].isdecimal() else ""
            parts.append(gap + spelled.replace("⁄", "/"))
        else:
            parts.append(sign)
    return "".join(parts)


def _found(text: str, language: str) -> Iterator[Number]:
    place = 0
    while match := _digits_from(text, place):
        start, end = match.span()
        before = text[:start]
        if _is_name(before):
            place = _end_of_digits(text, start)
            continue
        if mixed := _MIXED.match(text, start):
            value, end = Fraction(int(mixed[1])), mixed.end()
            value += Fraction(int(mixed[2]), int(mixed[3]) or 1)
        elif (parts := _FRACTION.match(text, start)) and int(parts[2]):
            value, end = Fraction(int(parts[1]), int(parts[2])), parts.end()
        else:
            digits, end = _one_number(text, start, end, language)
            value = digits
            for factor, words in _LARGE_AFTER:
                if large := words.match(text, end):
                    value, end = value * factor, large.end()
                    break
        if _MINUS.search(before[-12:]) or _MINUS_WORDS.search(before[-20:]):
            value = -value
        yield Number(value, start, end)
        place = end


def _digits_from(text: str, place: int) -> re.Match[str] | None:
    """Find the next digits, with all that may belong to them."""
    while match := _DIGITS.search(text, place):
        if match[0]:
            return match
        place = match.end() + 1
        if place > len(text):
            return None
    return None


def _end_of_digits(text: str, place: int) -> int:
    """Return where the digits end that begin here, or behind the decimal sign that is here."""
    place += not text[place].isdecimal()
    while place < len(text) and text[place].isdecimal():
        place += 1
    return place


def _is_name(before: str) -> bool:
    """Say whether digits after this text are part of a name or a power: A4, H2O, m^2."""
    if before.endswith("^"):
        return True
    return bool(_LATIN_BEFORE.search(before[-12:]) and not _CURRENCY_BEFORE.search(before[-12:]))


def _one_number(text: str, start: int, end: int, language: str) -> tuple[Fraction, int]:
    """Read the longest number at `start`, no further than `end`; returns value and end."""
    while True:
        value = _value(text[start:end], language)
        if value is not None:
            return value, end
        # What stands behind the last separator is no part of this number.
        end = max(text.rfind(sign, start, end) for sign in _SEPARATORS)


_SEPARATORS = f".,{_APOSTROPHES}{_SPACES} {_DECIMAL_SIGN}"


def _value(written: str, language: str) -> Fraction | None:
    """Return the value of digits with separators; None where they are not one number."""
    whole, found, decimals = written.partition(_DECIMAL_SIGN)
    if found:
        kinds = {sign for sign in whole if sign in _SEPARATORS}
        return _joined(whole, kinds, decimals) if len(kinds) < 2 else None
    signs = [sign for sign in written if sign in _SEPARATORS]
    kinds = set(signs)
    if not signs:
        return Fraction(int(written))
    last = signs[-1]
    if signs.count(last) == 1 and last in ".," and _is_decimal(written, kinds, last, language):
        whole, _, decimals = written.rpartition(last)
        return _joined(whole, kinds - {last}, decimals)
    if len(kinds) == 1 and _are_thousands(last, language):
        return _joined(written, kinds, "")
    return None


def _is_decimal(written: str, kinds: set[str], sign: str, language: str) -> bool:
    """Say whether the last separator, a point or comma that occurs once, is the decimal sign."""
    if len(kinds) > 1:
        return True  # the other one parts thousands
    whole, _, rest = written.partition(sign)
    by_three = len(rest) == 3 and 1 <= len(whole) <= 3 and whole != "0"
    if sign == ".":
        return not (by_three and language in _DECIMAL_COMMA)
    return not by_three and (language in _DECIMAL_COMMA)


def _are_thousands(sign: str, language: str) -> bool:
    return sign != " " or language in _SPACED


_THOUSANDS = re.compile(r"\d{1,3}(?:\D\d{3})+")
_LAKHS = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")


def _joined(whole: str, kinds: set[str], decimals: str) -> Fraction | None:
    """Return the value where the groups of the whole part are those of thousands."""
    if kinds and (len(kinds) > 1 or not (_THOUSANDS.fullmatch(whole) or _LAKHS.fullmatch(whole))):
        return None
    digits = "".join(filter(str.isdecimal, whole)) or "0"
    return Fraction(Decimal(f"{digits}.{decimals or '0'}"))
