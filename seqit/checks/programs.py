"""The programs behind the checks: each says what is wrong with an answer, or None."""

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from seqit.checks import derived, measures, readings
from seqit.records.record import Check

Program = Callable[[Check, str, Sequence[str]], str | None]

# --- literal: the answer follows from the question ---


def states_text(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return readings.states_text(answer, check["value"], caseless=True)


def states_number(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return readings.states_number(answer, _decimal(check["value"]))


def states_numbers(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return readings.states_numbers(answer, [_decimal(value) for value in check["values"]])


def states_list(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return readings.states_list(answer, check["items"], caseless=True)


def states_choice(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    return readings.states_choice(answer, check["value"], check["among"])


def at_least(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found = measures.UNITS[check["unit"]](answer)
    if found >= check["value"]:
        return None
    return f"expected at least {check['value']} {check['unit']}, found {found}"


def exactly(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found = measures.UNITS[check["unit"]](answer)
    if found == check["value"]:
        return None
    return f"expected exactly {check['value']} {check['unit']}, found {found}"


def all_but_one(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    found, wanted = readings.named(answer, check["options"]), len(check["options"]) - 1
    if len(found) == wanted:
        return None
    return f"expected {wanted} of the {wanted + 1} options, found {len(found)}: {', '.join(found)}"


def _decimal(text: str) -> Decimal:
    value = measures.number(text)
    assert value is not None  # the table's argument test came before
    return value


# --- derived: the answer follows from the one before ---

Comparison = Callable[[str, Any], str | None]


def from_previous(
    expect: Callable[[str, Check], derived.Expected | None], judge: Comparison
) -> Program:
    def program(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
        if not earlier:
            return "there is no preceding answer to compare with"
        problem = "the preceding answer gives nothing to do this with"
        for previous in readings.without_lead_in(earlier[-1]):
            expected = expect(previous, check)
            if expected is None or expected in ("", []):
                continue
            if (found := judge(answer, expected)) is None:
                return None
            problem = found
        return problem

    return program


def is_text(answer: str, expected: str) -> str | None:
    return readings.states_text(answer, expected)


def is_word(answer: str, expected: str) -> str | None:
    return readings.states_text(answer, expected, caseless=True)


def is_list(answer: str, expected: list[str]) -> str | None:
    return readings.states_list(answer, expected, caseless=True)


def is_parity(answer: str, expected: str) -> str | None:
    return readings.states_choice(answer, expected, ("even", "odd"))


def is_boolean(answer: str, expected: str) -> str | None:
    return readings.states_choice(answer, expected, ("true", "false"))


def is_spelled(answer: str, expected: str) -> str | None:
    for reading in readings.readings(answer):
        parts = [part for part in re.split(r"[\s\-–,.·*]+", reading) if part]
        if "-".join(parts).casefold() == expected.casefold():
            return None
    return f'expected "{expected}", letter by letter'


def is_initials(answer: str, expected: str) -> str | None:
    for reading in readings.readings(answer):
        if re.sub(r"[\s.]+", "", readings.plain(reading)) == expected:
            return None
    return f'expected the initials "{expected}"'


def is_marked(answer: str, expected: str) -> str | None:
    """Compare the marked lines alone: a sentence may announce them, one bullet is as another."""
    found = [
        (m.strip("(.)-*•‣–"), readings.plain(text))
        for m, text in measures.marked_lines(answer)
        if m
    ]
    pairs = measures.marked_lines(expected)
    wanted = [(m.strip("(.)-*•‣–"), readings.plain(text)) for m, text in pairs]
    if found == wanted:
        return None
    return f"expected {len(wanted)} marked lines with the parts of the preceding answer"


def json_object(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
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
    said = readings.plain(value if isinstance(value, str) else json.dumps(value))
    for previous in readings.without_lead_in(earlier[-1]):
        if said == readings.plain(previous):
            return None
    return f'the value of "{check["key"]}" is not the preceding answer'


def covers(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    if not earlier:
        return "there is no preceding answer to compare with"
    said = readings.plain(answer).casefold()
    for item in measures.items(earlier[-1]):
        if readings.plain(item).casefold() not in said:
            return f'the point "{item}" of the preceding answer does not occur'
    return None
