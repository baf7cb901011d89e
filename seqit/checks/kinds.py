"""The table of program checks: what each verifies, and which arguments it takes.

A check is literal where the answer follows from the question, and derived ("of": "previous") where
it follows from the answer before it; so the same check later judges a model's own answers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from seqit.checks import derived, measures, programs, readings
from seqit.records.record import Check


class CheckKind(NamedTuple):
    """One row of the table; the program returns what is wrong with an answer, or None."""

    program: programs.Program
    description: str
    arguments: Mapping[str, Callable[[Any], bool]]  # name → whether a value can be used


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _some_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_some_text, value))


def _number(value: Any) -> bool:
    return isinstance(value, str) and measures.number(value) is not None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


def _size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _unit(value: Any) -> bool:
    return isinstance(value, str) and value in measures.UNITS


def _option_texts(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_some_text, value.values()))


def _previous(value: Any) -> bool:
    return isinstance(value, str) and value == "previous"


def _from_previous(
    expect: Callable[[str, Check], derived.Expected | None],
    judge: Callable[[str, Any], str | None],
    description: str,
    **arguments: Callable[[Any], bool],
) -> CheckKind:
    return CheckKind(
        programs.from_previous(expect, judge), description, {**arguments, "of": _previous}
    )


KINDS: dict[str, CheckKind] = {
    "text": CheckKind(programs.states_text, "states this text", {"value": _some_text}),
    "number": CheckKind(
        programs.states_number, "gives this number and no other", {"value": _number}
    ),
    "numbers": CheckKind(
        programs.states_numbers, "gives these numbers in this order", {"values": _numbers}
    ),
    "list": CheckKind(
        programs.states_list, "lists these items in this order, no other", {"items": _texts}
    ),
    "choice": CheckKind(
        programs.states_choice,
        "names this one of the possible values",
        {"value": _text, "among": _texts},
    ),
    "at_least": CheckKind(
        programs.at_least, "has at least so many units", {"unit": _unit, "value": _size}
    ),
    "exactly": CheckKind(
        programs.exactly, "has exactly so many units", {"unit": _unit, "value": _size}
    ),
    "all_but_one": CheckKind(
        programs.all_but_one, "names all options but one", {"options": _texts}
    ),
}
_number_of = readings.states_number
KINDS |= {
    "count": _from_previous(derived.count, _number_of, "counts the units", unit=_unit),
    "sum": _from_previous(derived.total, _number_of, "adds up the numbers"),
    "largest": _from_previous(derived.largest, _number_of, "names the largest number"),
    "times": _from_previous(derived.times, _number_of, "multiplies the number", value=_number),
    "plus": _from_previous(derived.plus, _number_of, "adds to the number", value=_number),
    "rounded": _from_previous(derived.rounded, _number_of, "rounds to a multiple", to=_number),
    "digit_sum": _from_previous(derived.digit_sum, _number_of, "adds up the digits"),
    "parity": _from_previous(
        derived.parity, programs.is_parity, "says whether the number is even or odd"
    ),
    "number_words": _from_previous(
        derived.number_words, programs.is_word, "writes the number in words"
    ),
    "uppercase": _from_previous(derived.uppercase, programs.is_text, "writes all in capitals"),
    "lowercase": _from_previous(derived.lowercase, programs.is_text, "writes all in small letters"),
    "capitalized": _from_previous(derived.capitalized, programs.is_text, "capitalizes every word"),
    "first_sentence": _from_previous(
        derived.first_sentence, programs.is_word, "gives the first sentence"
    ),
    "last_sentence": _from_previous(
        derived.last_sentence, programs.is_word, "gives the last sentence"
    ),
    "first_word": _from_previous(derived.first_word, programs.is_word, "gives the first word"),
    "last_word": _from_previous(derived.last_word, programs.is_word, "gives the last word"),
    "longest_word": _from_previous(
        derived.longest_word, programs.is_word, "gives the longest word"
    ),
    "reversed_words": _from_previous(
        derived.reversed_words, programs.is_word, "reverses the words"
    ),
    "reversed_letters": _from_previous(
        derived.reversed_letters, programs.is_word, "reverses the letters"
    ),
    "initials": _from_previous(derived.initials, programs.is_initials, "gives the initials"),
    "spelled": _from_previous(derived.spelled, programs.is_spelled, "spells letter by letter"),
    "quoted": _from_previous(derived.quoted, readings.states_exactly, "puts it in quotation marks"),
    "wrapped": _from_previous(
        derived.wrapped, readings.states_exactly, "wraps it", before=_some_text, after=_some_text
    ),
    "slug": _from_previous(
        derived.slug, readings.states_exactly, "joins the words", separator=_some_text
    ),
    "joined": _from_previous(
        derived.joined, programs.is_text, "puts the items on one line with commas"
    ),
    "bullets": _from_previous(derived.bullets, programs.is_marked, "makes a bullet list"),
    "numbered": _from_previous(derived.numbered, programs.is_marked, "makes a numbered list"),
    "sorted_items": _from_previous(
        derived.sorted_items, programs.is_list, "sorts the items by alphabet"
    ),
    "sorted_words": _from_previous(
        derived.sorted_words, programs.is_list, "sorts the words by alphabet"
    ),
    "boolean": _from_previous(
        derived.boolean, programs.is_boolean, "says true for yes, false for no"
    ),
    "option_text": _from_previous(
        derived.option_text, programs.is_word, "writes out the chosen option", options=_option_texts
    ),
    "remaining": _from_previous(
        derived.remaining, programs.is_word, "chooses the option not ruled out", options=_texts
    ),
    "json": CheckKind(
        programs.json_object, "gives a JSON object", {"key": _some_text, "of": _previous}
    ),
    "covers": CheckKind(programs.covers, "takes up every listed point", {"of": _previous}),
}
"""Name → program, description and arguments of every check."""
