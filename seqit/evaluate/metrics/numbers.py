"""Parse numbers in the notations of eleven and more languages, exactly.

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
_SPACED = _DECIMAL_COMMA  # languages with a plain space as thousands separator

_SPACES = "\u00a0\u2009\u202f\u2007"  # never separate two numbers, so part of one in every language
_APOSTROPHES = "'’"
_LOOKALIKES = str.maketrans("−–‒﹣－，．٬٫％", "-----,.'\u0001%")
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
# A minus touches its number. Followed by a space it is a bullet or an operator, unless an equals
# sign, a colon or a bracket is directly before it.
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
    """A number with its span in the text."""

    value: Fraction
    start: int
    end: int


def normalize_digits(text: str) -> str:
    """Return the text with the digits of other scripts replaced by 0 to 9, char for char."""
    if text.isascii():
        return text
    return "".join(map(_ascii_digit, text.translate(_LOOKALIKES)))


def _ascii_digit(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def find_numbers(text: str, language: str = "") -> list[Number]:
    """Return the numbers of a text in order, parsed in the notation of the language."""
    text = _LATEX_FRACTION.sub(lambda m: f"{m[1]}/{m[2]}", normalize_digits(text))
    text = _LATEX_SPACE.sub("\u202f", _LATEX_COMMA.sub(",", text))
    return list(_scan(_expand_vulgar_fractions(text), language))


def last_number(text: str, language: str = "") -> Fraction | None:
    """Return the value of the last number of a text, or None if it has none."""
    found = find_numbers(text, language)
    return found[-1].value if found else None


def _expand_vulgar_fractions(text: str) -> str:
    """Replace ½ by 1/2, and 2½ by 2 1/2."""
    if text.isascii():
        return text
    parts: list[str] = []
    for char in text:
        expanded = unicodedata.normalize("NFKC", char) if unicodedata.category(char) == "No" else ""
        if "⁄" in expanded:
            gap = " " if parts and parts[-1][-1:].isdecimal() else ""
            parts.append(gap + expanded.replace("⁄", "/"))
        else:
            parts.append(char)
    return "".join(parts)


def _scan(text: str, language: str) -> Iterator[Number]:
    position = 0
    while match := _next_digits(text, position):
        start, end = match.span()
        before = text[:start]
        if _is_name(before):
            position = _end_of_digits(text, start)
            continue
        if mixed := _MIXED.match(text, start):
            value, end = Fraction(int(mixed[1])), mixed.end()
            value += Fraction(int(mixed[2]), int(mixed[3]) or 1)
        elif (parts := _FRACTION.match(text, start)) and int(parts[2]):
            value, end = Fraction(int(parts[1]), int(parts[2])), parts.end()
        else:
            value, end = _longest_number(text, start, end, language)
            for factor, words in _LARGE_AFTER:
                if large := words.match(text, end):
                    value, end = value * factor, large.end()
                    break
        if _MINUS.search(before[-12:]) or _MINUS_WORDS.search(before[-20:]):
            value = -value
        yield Number(value, start, end)
        position = end


def _next_digits(text: str, position: int) -> re.Match[str] | None:
    """Find the next digits with their separators."""
    while match := _DIGITS.search(text, position):
        if match[0]:
            return match
        position = match.end() + 1
        if position > len(text):
            return None
    return None


def _end_of_digits(text: str, position: int) -> int:
    """Return the end of the digits at `position`, or of those after a decimal sign there."""
    position += not text[position].isdecimal()
    while position < len(text) and text[position].isdecimal():
        position += 1
    return position


def _is_name(before: str) -> bool:
    """Return whether digits after this text are part of a name or a power: A4, H2O, m^2."""
    if before.endswith("^"):
        return True
    return bool(_LATIN_BEFORE.search(before[-12:]) and not _CURRENCY_BEFORE.search(before[-12:]))


def _longest_number(text: str, start: int, end: int, language: str) -> tuple[Fraction, int]:
    """Parse the longest number in text[start:end]; return its value and its end."""
    while True:
        value = _parse_digits(text[start:end], language)
        if value is not None:
            return value, end
        # The digits after the last separator are not part of this number.
        end = max(text.rfind(separator, start, end) for separator in _SEPARATORS)


_SEPARATORS = f".,{_APOSTROPHES}{_SPACES} {_DECIMAL_SIGN}"


def _parse_digits(text: str, language: str) -> Fraction | None:
    """Return the value of digits with separators; None if they are not one number."""
    whole, decimal_sign, decimals = text.partition(_DECIMAL_SIGN)
    if decimal_sign:
        kinds = {char for char in whole if char in _SEPARATORS}
        return _parse_groups(whole, kinds, decimals) if len(kinds) < 2 else None
    separators = [char for char in text if char in _SEPARATORS]
    kinds = set(separators)
    if not separators:
        return Fraction(int(text))
    last = separators[-1]
    if separators.count(last) == 1 and last in ".," and _is_decimal(text, kinds, last, language):
        whole, _, decimals = text.rpartition(last)
        return _parse_groups(whole, kinds - {last}, decimals)
    if len(kinds) == 1 and _is_thousands(last, language):
        return _parse_groups(text, kinds, "")
    return None


def _is_decimal(text: str, kinds: set[str], separator: str, language: str) -> bool:
    """Return whether the last separator, a point or comma that occurs once, is the decimal sign."""
    if len(kinds) > 1:
        return True  # the other one separates thousands
    whole, _, rest = text.partition(separator)
    by_three = len(rest) == 3 and 1 <= len(whole) <= 3 and whole != "0"
    if separator == ".":
        return not (by_three and language in _DECIMAL_COMMA)
    return not by_three and (language in _DECIMAL_COMMA)


def _is_thousands(separator: str, language: str) -> bool:
    return separator != " " or language in _SPACED


_THOUSANDS = re.compile(r"\d{1,3}(?:\D\d{3})+")
_LAKHS = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}")


def _parse_groups(whole: str, kinds: set[str], decimals: str) -> Fraction | None:
    """Return the value if the groups of the whole part are thousands or lakhs, else None."""
    if kinds and (len(kinds) > 1 or not (_THOUSANDS.fullmatch(whole) or _LAKHS.fullmatch(whole))):
        return None
    digits = "".join(filter(str.isdecimal, whole)) or "0"
    return Fraction(Decimal(f"{digits}.{decimals or '0'}"))
