"""Compute the expected answer of a step that works on the preceding answer.

Each function takes the preceding answer and the check, and returns the expected value, or None if
the step does not apply to that answer. The builtin teacher solves with the same functions.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from seqit.checks import matching, text_units
from seqit.records.record import Check

Expected = str | Decimal | list[str]

_WORD_START = re.compile(r"(?<![\w'’])[^\W\d_]")


def count(previous: str, check: Check) -> Decimal:
    return Decimal(text_units.UNITS[check["unit"]](previous))


def _single_number(previous: str) -> Decimal | None:
    found = matching.extract_numbers(previous)
    # Decimal arithmetic rounds or overflows far beyond 10^15; no real task has such numbers.
    return found[0] if len(found) == 1 and abs(found[0]) < 10**15 else None


def total(previous: str, check: Check) -> Decimal | None:
    found = text_units.numbers(previous)
    return sum(found, Decimal(0)) if len(found) > 1 else None


def largest(previous: str, check: Check) -> Decimal | None:
    return max(text_units.numbers(previous), default=None)


def times(previous: str, check: Check) -> Decimal | None:
    value = _single_number(previous)
    return None if value is None else value * Decimal(check["value"])


def plus(previous: str, check: Check) -> Decimal | None:
    value = _single_number(previous)
    return None if value is None else value + Decimal(check["value"])


def rounded(previous: str, check: Check) -> Decimal | None:
    """Round to the nearest multiple of `to`, halves away from zero, as taught at school."""
    value, step = _single_number(previous), Decimal(check["to"])
    if value is None or step <= 0:
        return None
    return (value / step).quantize(Decimal(1), "ROUND_HALF_UP") * step


def digit_sum(previous: str, check: Check) -> Decimal | None:
    value = _single_number(previous)
    if value is None:
        return None
    return Decimal(sum(int(digit) for digit in text_units.format_number(value) if digit.isdigit()))


def parity(previous: str, check: Check) -> str | None:
    value = _single_number(previous)
    if value is None or value != value.to_integral_value():
        return None
    return "odd" if value % 2 else "even"


def number_words(previous: str, check: Check) -> str | None:
    value = _single_number(previous)
    if value is None or value != value.to_integral_value() or abs(value) >= 1_000_000:
        return None
    return ("minus " if value < 0 else "") + _in_words(abs(int(value)))


def _in_words(value: int) -> str:
    if value < 100:
        return matching.NUMBER_WORDS[value]
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
    return next(iter(text_units.sentences(previous)), None)


def last_sentence(previous: str, check: Check) -> str | None:
    return next(reversed(text_units.sentences(previous)), None)


def first_word(previous: str, check: Check) -> str | None:
    return next(iter(text_units.words(previous)), None)


def last_word(previous: str, check: Check) -> str | None:
    return next(reversed(text_units.words(previous)), None)


def longest_word(previous: str, check: Check) -> str | None:
    return longest_text(text_units.words(previous))


def longest_text(texts: Iterable[str]) -> str | None:
    """Return the text with the most letters; None if two different ones have equally many."""
    length = text_units.count_letters
    ranked = sorted({text.casefold(): text for text in texts}.values(), key=length)
    if not ranked or (len(ranked) > 1 and len({length(text) for text in ranked[-2:]}) == 1):
        return None
    return ranked[-1]


def reversed_words(previous: str, check: Check) -> str:
    return " ".join(reversed(text_units.words(previous)))


def reversed_letters(previous: str, check: Check) -> str:
    return previous.strip()[::-1]


def initials(previous: str, check: Check) -> str:
    return "".join(word[0] for word in text_units.words(previous)).upper()


def spelled(previous: str, check: Check) -> str | None:
    return "-".join(letter for letter in previous if letter.isalnum()) or None


def quoted(previous: str, check: Check) -> str:
    return f'"{previous.strip()}"'


def wrapped(previous: str, check: Check) -> str:
    return f"{check['before']}{previous.strip()}{check['after']}"


def slug(previous: str, check: Check) -> str:
    separator: str = check["separator"]
    return separator.join(text_units.words(previous)).lower()


def joined(previous: str, check: Check) -> str | None:
    found = [item.rstrip(".;,") for item in text_units.items(previous)]
    return ", ".join(found) if len(found) > 1 else None


def bullets(previous: str, check: Check) -> str | None:
    found = text_units.items(previous)
    return "\n".join(f"- {item}" for item in found) if len(found) > 1 else None


def numbered(previous: str, check: Check) -> str | None:
    found = text_units.items(previous)
    return "\n".join(f"{n}. {item}" for n, item in enumerate(found, 1)) if len(found) > 1 else None


def sorted_items(previous: str, check: Check) -> list[str]:
    return sorted((item.rstrip(".;,") for item in text_units.items(previous)), key=str.casefold)


def sorted_words(previous: str, check: Check) -> list[str]:
    return sorted(text_units.words(previous), key=str.casefold)


def as_json(previous: str, check: Check) -> str:
    return json.dumps({check["key"]: _json_value(previous)}, ensure_ascii=False)


def _json_value(previous: str) -> Any:
    """Return a plain integer as an int, any other answer as a string."""
    text = previous.strip()
    return int(text) if re.fullmatch(r"-?(?:0|[1-9]\d{0,14})", text, re.ASCII) else text


def boolean(previous: str, check: Check) -> str | None:
    found = {word.casefold() for word in text_units.words(previous)} & {"yes", "no"}
    return {"yes": "true", "no": "false"}[found.pop()] if len(found) == 1 else None


def option_text(previous: str, check: Check) -> str | None:
    chosen = _chosen_option(previous, list(check["options"]))
    return None if chosen is None else check["options"][chosen]


def remaining(previous: str, check: Check) -> str | None:
    """Return the one option that the preceding answer did not rule out."""
    ruled_out = matching.mentioned_values(previous, check["options"])
    remaining_options = [option for option in check["options"] if option not in ruled_out]
    return remaining_options[0] if len(remaining_options) == 1 else None


def _chosen_option(answer: str, options: Iterable[str]) -> str | None:
    """Return the only option that the answer names, as "(B)" or as a bare "B"; else None."""
    by_label = {option.strip("().").casefold(): option for option in options}
    for candidate in matching.candidate_answers(answer):
        if option := by_label.get(matching.normalize(candidate).strip("().").casefold()):
            return option
    found = matching.mentioned_values(answer, list(by_label.values()))
    return found[0] if len(found) == 1 else None
