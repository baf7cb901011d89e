"""Where an answer to a mathematical question gives its result."""

import re
from fractions import Fraction

from seqit.evaluate.metrics.base import EMPTY, MetricValue, Unscorable, reference_of
from seqit.evaluate.metrics.numbers import last_number, numbers, plain_digits
from seqit.records.record import Record

# A line "#### 18" as GSM8K's own solutions end, a unit may follow; no heading "#### 1. First step".
_MARKED = re.compile(r"^[ \t]*#{4}[ \t]*(\S*\d[^\n]*?)[ \t]*$", re.M)
_HEADING = re.compile(r"\d[.):][ \t]+\S")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")


def score(answer: str, item: Record, language: str) -> list[MetricValue]:
    """Return accuracy: whether the result is the item's number; raises Unscorable."""
    reference = reference_of(item)
    right = last_number(reference, "en")
    if right is None:
        message = f"the item's answer {reference!r} is no number"
        raise Unscorable("no-reference", message, "item.output")
    found = result(answer, language)
    if found is None:
        reason = "no-number" if answer else EMPTY
        return [MetricValue("accuracy", 0.0, reason, {"expected": written(right)})]
    evidence = {"found": written(found), "expected": written(right)}
    return [MetricValue("accuracy", float(found == right), "", evidence)]


def result(answer: str, language: str = "") -> Fraction | None:
    r"""Return the number that the answer gives as its result; None where there is none.

    It is the first one after the last mark ``####`` at the beginning of a line, or the last one
    in the last ``\boxed{}``; without a mark it is the last number of the answer.
    """
    plain = plain_digits(answer)
    marked = [m for m in _MARKED.finditer(plain) if not _HEADING.search(m[1])]
    boxed = list(_BOXED.finditer(plain))
    if boxed and (not marked or boxed[-1].start() > marked[-1].start()):
        return last_number(boxed[-1][1], language)
    if marked:
        found = numbers(marked[-1][1], language)
        return found[0].value if found else None
    return last_number(answer, language)


def written(value: Fraction) -> str:
    """Return the number as text: whole, or with up to six decimals."""
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"
