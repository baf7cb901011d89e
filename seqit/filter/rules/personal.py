"""Personal data that are recognizable by their format: addresses and numbers in texts."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class SensitiveSpan(NamedTuple):
    """A finding: its kind, and where it begins and ends in the text."""

    kind: str
    start: int
    end: int


Finder = Callable[[str], Iterator[tuple[int, int]]]

_EMAIL = re.compile(
    r"(?<![\w.%+/-])[A-Za-z0-9][\w.%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}"
    r"(?![\w@])",
    re.ASCII,
)
# Reserved for documentation (RFC 2606), or the name of a service: not a person's address.
_EXAMPLE = re.compile(
    r"\A(?:git|example|(?:user)?name|user|your[\w.]*)@"
    r"|@(?:[\w-]+\.)*(?:example(?:\.\w+){0,2}|test|invalid|localhost)\Z",
    re.IGNORECASE,
)

# Seven digits with only grouping characters between them: every card, IBAN or phone number has.
_NUMBER = re.compile(r"\d(?:[ .()/\u00a0\u2011-]{0,2}\d){6}", re.ASCII)
_SEPARATOR = r"[ .\u00a0\u2011-]"
# +49 30 1234567, +1 (555) 123-4567; and without a +: (020) 7946 0958, 555-123-4567.
_PHONE = re.compile(
    rf"(?<![\w.+/=-])(?:(?:\+[1-9]\d{{0,2}}{_SEPARATOR}?|(?<!\d )00[1-9]\d{{0,2}}{_SEPARATOR})"
    rf"(?:\(0?\d{{1,4}}\){_SEPARATOR}?)?\d{{1,5}}(?:{_SEPARATOR}?\d{{2,5}}){{1,5}}"
    rf"|\(0?\d{{2,4}}\){_SEPARATOR}?\d{{3,4}}{_SEPARATOR}\d{{3,4}}"
    rf"|(?:1[.-])?[2-9]\d{{2}}([.-])[2-9]\d{{2}}\1\d{{4}})(?![\w%]|[.,-]\d)",
    re.ASCII,
)
_FICTIONAL = re.compile(r"555\D?01\d\d\Z", re.ASCII)  # numbers used in films and examples
_MIN_GROUPED, _MIN_UNGROUPED, _MAX_DIGITS = 8, 10, 15  # digits; E.164 allows 15

_CARD = re.compile(r"(?<![\w.,/=+-])[2-6]\d{3}(?:([ -]?)\d{4}\1\d{4}\1\d{1,7}|([ -]?)\d{6}\2\d{5})"
                   r"(?![\w]|[.,-]\d)", re.ASCII)  # fmt: skip
_CARD_DIGITS = range(13, 20)
_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII
)
_IP = re.compile(
    r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)",
    re.ASCII,
)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if not _EXAMPLE.search(match[0]):
                yield match.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _PHONE.finditer(text):
        number = match[0]
        separators = re.sub(r"[\d+]", "", number)
        # Without groups it may be any number, and with one point a decimal fraction.
        min_digits = _MIN_UNGROUPED if separators in ("", ".") else _MIN_GROUPED
        if min_digits <= len(_digits(number)) <= _MAX_DIGITS and not _FICTIONAL.search(number):
            yield match.span()


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = _digits(match[0])
        if len(digits) in _CARD_DIGITS and passes_luhn(digits):
            yield match.span()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        if passes_mod_97(match[0].replace(" ", "")):
            yield match.span()


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _IP.finditer(text):
        if not match[0].startswith(("0.", "127.", "10.", "192.168.", "255.")):
            yield match.span()


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of a card number (ISO/IEC 7812)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(
        value - 9 if value > 9 else value for value in doubled
    )
    return total % 10 == 0


def passes_mod_97(iban: str) -> bool:
    """Return whether the check digits of an IBAN are valid (ISO 13616)."""
    return (
        15 <= len(iban) <= 34
        and int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1
    )


FINDERS: dict[str, Finder] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "phone": _phones,
    "ip": _addresses,
}
"""Kind → finder, in order: what an earlier finder has found is skipped by later ones."""

_NUMBERS = frozenset(("iban", "card", "phone"))


def find(text: str, kinds: tuple[str, ...]) -> list[SensitiveSpan]:
    """Return the findings of these kinds in text order, without overlaps."""
    has_number = _NUMBER.search(text) is not None
    found: list[SensitiveSpan] = []
    for kind, finder in FINDERS.items():
        if kind in kinds and (has_number or kind not in _NUMBERS):
            for start, end in finder(text):
                if all(end <= earlier.start or earlier.end <= start for earlier in found):
                    found.append(SensitiveSpan(kind, start, end))
    return sorted(found, key=lambda span: span.start)
