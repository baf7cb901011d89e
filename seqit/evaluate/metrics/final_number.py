"""Find the final number of an answer to a math question, and compare it with the reference."""

import re
from fractions import Fraction

from seqit.evaluate.metrics.base import EMPTY, MetricValue, Unscorable, reference_of
from seqit.evaluate.metrics.numbers import find_numbers, last_number, normalize_digits
from seqit.records.record import Record

# A line "#### 18", as GSM8K's solutions end, maybe with a unit; not a heading "#### 1. First step".
_MARKED = re.compile(r"^[ \t]*#{4}[ \t]*(\S*\d[^\n]*?)[ \t]*$", re.M)
_HEADING = re.compile(r"\d[.):][ \t]+\S")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")


def score(answer: str, item: Record, language: str) -> list[MetricValue]:
    """Return accuracy: 1 if the final number equals the reference, else 0; raises Unscorable."""
    reference = reference_of(item)
    expected = last_number(reference, "en")
    if expected is None:
        message = f"the item's answer {reference!r} is no number"
        raise Unscorable("no-reference", message, "item.output")
    found = find_final_number(answer, language)
    if found is None:
        reason = "no-number" if answer else EMPTY
        return [MetricValue("accuracy", 0.0, reason, {"expected": format_number(expected)})]
    evidence = {"found": format_number(found), "expected": format_number(expected)}
    return [MetricValue("accuracy", float(found == expected), "", evidence)]


def find_final_number(answer: str, language: str = "") -> Fraction | None:
    r"""Return the number that the answer gives as its result; None if it has no number.

    It is the first one after the last mark ``####`` at the beginning of a line, or the last one
    in the last ``\boxed{}``, whichever comes later; without either, the last number of the answer.
    """
    plain = normalize_digits(answer)
    marked = [m for m in _MARKED.finditer(plain) if not _HEADING.search(m[1])]
    boxed = list(_BOXED.finditer(plain))
    if boxed and (not marked or boxed[-1].start() > marked[-1].start()):
        return last_number(boxed[-1][1], language)
    if marked:
        found = find_numbers(marked[-1][1], language)
        return found[0].value if found else None
    return last_number(answer, language)


def format_number(value: Fraction) -> str:
    """Return the number as text: whole, or with up to six significant digits."""
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"
