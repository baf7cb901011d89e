"""The programs behind the checks: each returns what is wrong with an answer, or None."""

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from seqit.checks import derived, matching, text_units
from seqit.records.record import Check

Program = Callable[[Check, str, Sequence[str]], str | None]
"""Takes the check, the answer and the answers to the earlier steps."""

# --- literal: the check contains the expected value ---


def check_text(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return matching.compare_text(answer, check["value"], caseless=True)


def check_number(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return matching.compare_number(answer, _decimal(check["value"]))


def check_numbers(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return matching.compare_numbers(answer, [_decimal(value) for value in check["values"]])


def check_list(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return matching.compare_list(answer, check["items"], caseless=True)


def check_choice(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return matching.compare_choice(answer, check["value"], check["among"])


def check_at_least(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found = text_units.UNITS[check["unit"]](answer)
    if found >= check["value"]:
        return None
    return f"expected at least {check['value']} {check['unit']}, found {found}"


def check_exactly(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found = text_units.UNITS[check["unit"]](answer)
    if found == check["value"]:
        return None
    return f"expected exactly {check['value']} {check['unit']}, found {found}"


def check_all_but_one(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found, wanted = matching.mentioned_values(answer, check["options"]), len(check["options"]) - 1
    if len(found) == wanted:
        return None
    return f"expected {wanted} of the {wanted + 1} options, found {len(found)}: {', '.join(found)}"


def _decimal(text: str) -> Decimal:
    value = text_units.parse_number(text)
    assert value is not None  # the argument was validated before
    return value


# --- derived: the expected value is computed from the preceding answer ---

Comparison = Callable[[str, Any], str | None]
"""Takes an answer and the expected value; returns what is wrong, or None if they match."""


def derived_program(
    expected_answer: Callable[[str, Check], derived.Expected | None], compare: Comparison
) -> Program:
    """Return the program that compares an answer with what follows from the preceding one."""

    def program(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
        if not earlier:
            return "there is no preceding answer to compare with"
        problem = "the preceding answer gives nothing to do this with"
        for previous in matching.without_label(earlier[-1]):
            expected = expected_answer(previous, check)
            if expected is None or expected in ("", []):
                continue
            if (found := compare(answer, expected)) is None:
                return None
            problem = found
        return problem

    return program


def compare_caseless(answer: str, expected: str) -> str | None:
    return matching.compare_text(answer, expected, caseless=True)


def compare_list(answer: str, expected: list[str]) -> str | None:
    return matching.compare_list(answer, expected, caseless=True)


def compare_parity(answer: str, expected: str) -> str | None:
    return matching.compare_choice(answer, expected, ("even", "odd"))


def compare_boolean(answer: str, expected: str) -> str | None:
    return matching.compare_choice(answer, expected, ("true", "false"))


def compare_spelling(answer: str, expected: str) -> str | None:
    for candidate in matching.candidate_answers(answer):
        parts = [part for part in re.split(r"[\s\-–,.·*]+", candidate) if part]
        if "-".join(parts).casefold() == expected.casefold():
            return None
    return f'expected "{expected}", letter by letter'


def compare_initials(answer: str, expected: str) -> str | None:
    for candidate in matching.candidate_answers(answer):
        if re.sub(r"[\s.]+", "", matching.normalize(candidate)) == expected:
            return None
    return f'expected the initials "{expected}"'


def compare_marked_lines(answer: str, expected: str) -> str | None:
    """Compare the lines with bullets or numbers; other lines and the kind of bullet are ignored."""
    found = [
        (m.strip("(.)-*•‣–"), matching.normalize(text))
        for m, text in text_units.marked_lines(answer)
        if m
    ]
    pairs = text_units.marked_lines(expected)
    wanted = [(m.strip("(.)-*•‣–"), matching.normalize(text)) for m, text in pairs]
    if found == wanted:
        return None
    return f"expected {len(wanted)} marked lines with the parts of the preceding answer"


def check_json(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    if not earlier:
        return "there is no preceding answer to compare with"
    start, end = answer.find("{"), answer.rfind("}")
    try:
        found = json.loads(answer[start : end + 1])
    except (ValueError, RecursionError):
        return "expected a JSON object, found none that parses"
    if not isinstance(found, dict) or list(found) != [check["key"]]:
        return f'expected a JSON object with the one key "{check["key"]}"'
    value = found[check["key"]]
    found_text = matching.normalize(value if isinstance(value, str) else json.dumps(value))
    for previous in matching.without_label(earlier[-1]):
        if found_text == matching.normalize(previous):
            return None
    return f'the value of "{check["key"]}" is not the preceding answer'


def check_coverage(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    if not earlier:
        return "there is no preceding answer to compare with"
    answer_text = matching.normalize(answer).casefold()
    for item in text_units.items(earlier[-1]):
        if matching.normalize(item).casefold() not in answer_text:
            return f'the point "{item}" of the preceding answer does not occur'
    return None
