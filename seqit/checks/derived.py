"""What a step must answer when it works on the answer before it.

Each function takes the preceding answer and the check, and returns what is expected, or None where
the step makes no sense there. The builtin teacher solves with the same functions.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from seqit.checks import measures, readings
from seqit.records.record import Check

Expected = str | Decimal | list[str]

_WORD_START = re.compile(r"(?<![\w'’])[^\W\d_]")


def count(previous: str, check: Check) -> Decimal:
    return Decimal(measures.UNITS[check["unit"]](previous))


def _one_number(previous: str) -> Decimal | None:
    found = readings.stated_numbers(previous)
    # Beyond 10^15 decimal arithmetic rounds or overflows, and nobody asks for it.
    return found[0] if len(found) == 1 and abs(found[0]) < 10**15 else None


def total(previous: str, check: Check) -> Decimal | None:
    found = measures.numbers(previous)
    return sum(found, Decimal(0)) if len(found) > 1 else None


def largest(previous: str, check: Check) -> Decimal | None:
    return max(measures.numbers(previous), default=None)


def times(previous: str, check: Check) -> Decimal | None:
    value = _one_number(previous)
    return None if value is None else value * Decimal(check["value"])


def plus(previous: str, check: Check) -> Decimal | None:
    value = _one_number(previous)
    return None if value is None else value + Decimal(check["value"])


def rounded(previous: str, check: Check) -> Decimal | None:
    """Round to a multiple of `to`, halves away from zero, as at school."""
    value, step = _one_number(previous), Decimal(check["to"])
    if value is None or step <= 0:
        return None
    return (value / step).quantize(Decimal(1), "ROUND_HALF_UP") * step


def digit_sum(previous: str, check: Check) -> Decimal | None:
    value = _one_number(previous)
    if value is None:
        return None
    return Decimal(sum(int(digit) for digit in measures.plain_number(value) if digit.isdigit()))


def parity(previous: str, check: Check) -> str | None:
    value = _one_number(previous)
    if value is None or value != value.to_integral_value():
        return None
    return "odd" if value % 2 else "even"


def number_words(previous: str, check: Check) -> str | None:
    value = _one_number(previous)
    if value is None or value != value.to_integral_value() or abs(value) >= 1_000_000:
        return None
    return ("minus " if value < 0 else "") + _in_words(abs(int(value)))


def _in_words(value: int) -> str:
    if value < 100:
        return readings.NUMBERS_IN_WORDS[value]
    size, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    high, low = divmod(value, size)
    return f"{_in_words(high)} {name}" + (f" {_in_words(low)}" if low else "")


def uppercase(previous: str, check: Check) -> str:
    return previous.upper()


def lowercase(previous: str, check: Check) -> str:
    return previous.lower()


def capitalized(previous: str, check: Check) -> str:
    return _WORD_START.sub(lambda match: match[0].upper(), previous)


def first_sentence(previous: str, check: Check) -> str | None:
    return next(iter(measures.sentences(previous)), None)


def last_sentence(previous: str, check: Check) -> str | None:
    return next(reversed(measures.sentences(previous)), None)


def first_word(previous: str, check: Check) -> str | None:
    return next(iter(measures.words(previous)), None)


def last_word(previous: str, check: Check) -> str | None:
    return next(reversed(measures.words(previous)), None)


def longest_word(previous: str, check: Check) -> str | None:
    return the_longest(measures.words(previous))


def the_longest(texts: Iterable[str]) -> str | None:
    """Return the text with the most letters; None where two different ones have as many."""
    ranked = sorted({text.casefold(): text for text in texts}.values(), key=measures.letters)
    if not ranked or (len(ranked) > 1 and len({measures.letters(t) for t in ranked[-2:]}) == 1):
        return None
    return ranked[-1]


def reversed_words(previous: str, check: Check) -> str:
    return " ".join(reversed(measures.words(previous)))


def reversed_letters(previous: str, check: Check) -> str:
    return previous.strip()[::-1]


def initials(previous: str, check: Check) -> str:
    return "".join(word[0] for word in measures.words(previous)).upper()


def spelled(previous: str, check: Check) -> str | None:
    return "-".join(letter for letter in previous if letter.isalnum()) or None


def quoted(previous: str, check: Check) -> str:
    return f'"{previous.strip()}"'


def wrapped(previous: str, check: Check) -> str:
    return f"{check['before']}{previous.strip()}{check['after']}"


def slug(previous: str, check: Check) -> str:
    separator: str = check["separator"]
    return separator.join(measures.words(previous)).lower()


def joined(previous: str, check: Check) -> str | None:
    found = [item.rstrip(".;,") for item in measures.items(previous)]
    return ", ".join(found) if len(found) > 1 else None


def bullets(previous: str, check: Check) -> str | None:
    found = measures.items(previous)
    return "\n".join(f"- {item}" for item in found) if len(found) > 1 else None


def numbered(previous: str, check: Check) -> str | None:
    found = measures.items(previous)
    return "\n".join(f"{n}. {item}" for n, item in enumerate(found, 1)) if len(found) > 1 else None


def sorted_items(previous: str, check: Check) -> list[str]:
    return sorted((item.rstrip(".;,") for item in measures.items(previous)), key=str.casefold)


def sorted_words(previous: str, check: Check) -> list[str]:
    return sorted(measures.words(previous), key=str.casefold)


def as_json(previous: str, check: Check) -> str:
    return json.dumps({check["key"]: json_value(previous)}, ensure_ascii=False)


def json_value(previous: str) -> Any:
    """Return the answer as JSON has it: a plain number as a number, all else as a string."""
    text = previous.strip()
    return int(text) if re.fullmatch(r"-?(?:0|[1-9]\d{0,14})", text, re.ASCII) else text


def boolean(previous: str, check: Check) -> str | None:
    said = {word.casefold() for word in measures.words(previous)} & {"yes", "no"}
    return {"yes": "true", "no": "false"}[said.pop()] if len(said) == 1 else None


def option_text(previous: str, check: Check) -> str | None:
    chosen = chosen_option(previous, list(check["options"]))
    return None if chosen is None else check["options"][chosen]


def remaining(previous: str, check: Check) -> str | None:
    """Return the one option that the preceding answer did not rule out."""
    out = readings.named(previous, check["options"])
    left = [option for option in check["options"] if option not in out]
    return left[0] if len(left) == 1 else None


def chosen_option(answer: str, options: Iterable[str]) -> str | None:
    """Return the only option that the answer names, as "(B)" or as a bare "B"; else None."""
    by_label = {option.strip("().").casefold(): option for option in options}
    for reading in readings.readings(answer):
        if option := by_label.get(readings.plain(reading).strip("().").casefold()):
            return option
    found = readings.named(answer, list(by_label.values()))
    return found[0] if len(found) == 1 else None
