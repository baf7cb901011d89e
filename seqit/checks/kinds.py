"""The table of program checks: what each verifies, and which arguments it takes.

A literal check contains the expected value, computed from the question. A derived check ("of":
"previous") computes it from the preceding answer, so it also verifies the answers of other models.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from seqit.checks import derived, matching, programs, text_units
from seqit.records.record import Check


class CheckKind(NamedTuple):
    """A kind of check; the program returns what is wrong with an answer, or None if it passes."""

    program: programs.Program
    description: str
    arguments: Mapping[str, Callable[[Any], bool]]  # name → whether a value is valid


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_nonblank_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_nonblank_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and text_units.parse_number(value) is not None


def _is_number_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_unit(value: Any) -> bool:
    return isinstance(value, str) and value in text_units.UNITS


def _is_option_map(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_nonblank_text, value.values()))


def _is_previous(value: Any) -> bool:
    return isinstance(value, str) and value == "previous"


def _derived(
    expected_answer: Callable[[str, Check], derived.Expected | None],
    compare: programs.Comparison,
    description: str,
    **arguments: Callable[[Any], bool],
) -> CheckKind:
    program = programs.derived_program(expected_answer, compare)
    return CheckKind(program, description, {**arguments, "of": _is_previous})


CHECK_KINDS: dict[str, CheckKind] = {
    "text": CheckKind(programs.check_text, "states this text", {"value": _is_nonblank_text}),
    "number": CheckKind(
        programs.check_number, "gives this number and no other", {"value": _is_number}
    ),
    "numbers": CheckKind(
        programs.check_numbers, "gives these numbers in this order", {"values": _is_number_list}
    ),
    "list": CheckKind(
        programs.check_list, "lists these items in this order, no other", {"items": _is_text_list}
    ),
    "choice": CheckKind(
        programs.check_choice,
        "names this one of the possible values",
        {"value": _is_text, "among": _is_text_list},
    ),
    "at_least": CheckKind(
        programs.check_at_least,
        "has at least so many units",
        {"unit": _is_unit, "value": _is_count},
    ),
    "exactly": CheckKind(
        programs.check_exactly, "has exactly so many units", {"unit": _is_unit, "value": _is_count}
    ),
    "all_but_one": CheckKind(
        programs.check_all_but_one, "names all options but one", {"options": _is_text_list}
    ),
}
_compare_number = matching.compare_number
CHECK_KINDS |= {
    "count": _derived(derived.count, _compare_number, "counts the units", unit=_is_unit),
    "sum": _derived(derived.total, _compare_number, "adds up the numbers"),
    "largest": _derived(derived.largest, _compare_number, "names the largest number"),
    "times": _derived(derived.times, _compare_number, "multiplies the number", value=_is_number),
    "plus": _derived(derived.plus, _compare_number, "adds to the number", value=_is_number),
    "rounded": _derived(derived.rounded, _compare_number, "rounds to a multiple", to=_is_number),
    "digit_sum": _derived(derived.digit_sum, _compare_number, "adds up the digits"),
    "parity": _derived(
        derived.parity, programs.compare_parity, "says whether the number is even or odd"
    ),
    "number_words": _derived(
        derived.number_words, programs.compare_caseless, "writes the number in words"
    ),
    "uppercase": _derived(derived.uppercase, matching.compare_text, "writes all in capitals"),
    "lowercase": _derived(derived.lowercase, matching.compare_text, "writes all in small letters"),
    "capitalized": _derived(derived.capitalized, matching.compare_text, "capitalizes every word"),
    "first_sentence": _derived(
        derived.first_sentence, programs.compare_caseless, "gives the first sentence"
    ),
    "last_sentence": _derived(
        derived.last_sentence, programs.compare_caseless, "gives the last sentence"
    ),
    "first_word": _derived(derived.first_word, programs.compare_caseless, "gives the first word"),
    "last_word": _derived(derived.last_word, programs.compare_caseless, "gives the last word"),
    "longest_word": _derived(
        derived.longest_word, programs.compare_caseless, "gives the longest word"
    ),
    "reversed_words": _derived(
        derived.reversed_words, programs.compare_caseless, "reverses the words"
    ),
    "reversed_letters": _derived(
        derived.reversed_letters, programs.compare_caseless, "reverses the letters"
    ),
    "initials": _derived(derived.initials, programs.compare_initials, "gives the initials"),
    "spelled": _derived(derived.spelled, programs.compare_spelling, "spells letter by letter"),
    "quoted": _derived(derived.quoted, matching.compare_exact_text, "puts it in quotation marks"),
    "wrapped": _derived(
        derived.wrapped,
        matching.compare_exact_text,
        "wraps it",
        before=_is_nonblank_text,
        after=_is_nonblank_text,
    ),
    "slug": _derived(
        derived.slug, matching.compare_exact_text, "joins the words", separator=_is_nonblank_text
    ),
    "joined": _derived(
        derived.joined, matching.compare_text, "puts the items on one line with commas"
    ),
    "bullets": _derived(derived.bullets, programs.compare_marked_lines, "makes a bullet list"),
    "numbered": _derived(derived.numbered, programs.compare_marked_lines, "makes a numbered list"),
    "sorted_items": _derived(
        derived.sorted_items, programs.compare_list, "sorts the items by alphabet"
    ),
    "sorted_words": _derived(
        derived.sorted_words, programs.compare_list, "sorts the words by alphabet"
    ),
    "boolean": _derived(
        derived.boolean, programs.compare_boolean, "says true for yes, false for no"
    ),
    "option_text": _derived(
        derived.option_text,
        programs.compare_caseless,
        "writes out the chosen option",
        options=_is_option_map,
    ),
    "remaining": _derived(
        derived.remaining,
        programs.compare_caseless,
        "chooses the option not ruled out",
        options=_is_text_list,
    ),
    "json": CheckKind(
        programs.check_json, "gives a JSON object", {"key": _is_nonblank_text, "of": _is_previous}
    ),
    "covers": CheckKind(
        programs.check_coverage, "takes up every listed point", {"of": _is_previous}
    ),
}
"""Every kind of check by name; the names are the values of `kind` in a record's checks."""
