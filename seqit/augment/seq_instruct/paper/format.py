"""The reference implementation's answer format, read strictly.

A rewrite comes as ``#Explanation#: … #New Instruction#: … ###``, a classification ends in ``So the
option is: C.###``, a refinement says ``Answer: Yes`` or ``Answer: No`` with a new instruction.
Each is read from its marked place alone: where that place is missing, doubled or open at its end,
the completion is unreadable; nothing is guessed, and nothing becomes "keep".
"""

import re

from seqit.errors import RowError
from seqit.llm.model_call import ParseError
from seqit.records.paper import answer as paper_answer
from seqit.records.paper import instruction as paper_instruction
from seqit.records.paper.answer import GAP, code_in, look, outside
from seqit.records.paper.instruction import EXPLANATION, NEW

OPTIONS = "ABCD"  # decompose, prefix, suffix, keep


def read_instruction(text: str) -> str:
    """Return the new instruction that stands between its marker and its end marker.

    Raises ParseError, for the reasons that are told at paper_instruction.read_instruction.
    """
    try:
        return paper_instruction.read_instruction(text)
    except RowError as error:
        raise ParseError(str(error)) from None


def gives_instruction(text: str) -> bool:
    """Tell whether the marker of a new instruction is there."""
    shown = look(_answer_of(text))
    return any(any(outside(code_in(shown), each, shown)) for each in NEW)


def read_explanation(text: str) -> str:
    """Return what is said before the new instruction or the verdict; may be empty."""
    text = _answer_of(text)
    shown = look(text)
    ends = [
        match.start()
        for pattern in (*NEW, _VERDICT, _ANSWER)
        for match in outside(code_in(shown), pattern, shown)
    ]
    end = min(ends, default=len(text))
    starts = (match.end() for pattern in EXPLANATION for match in pattern.finditer(shown, 0, end))
    return text[next(starts, 0) : end].strip()


def _answer_of(text: str) -> str:
    try:
        return paper_answer.answer_of(text)
    except RowError as error:
        raise ParseError(str(error), "truncated") from None


# --- verdicts --------------------------------------------------------------------------------

_LEAD, _DECOR = r"[\s*_>]{0,8}", r"[#*_]{0,8}"
_BEFORE_OPTION = r"(?:(?:most\s)?(?:best|final|chosen|selected|suitable|appropriate)\s{1,8})?"
_VERDICT = re.compile(
    # A "right" or "correct" option answers a question that the instruction asks.
    rf"(?:^|(?<=[.!?:;])){_LEAD}"
    rf"(?:(?:so|thus|hence|therefore|finally|overall|in conclusion|no|but|rather)\b{GAP},?{GAP})?"
    rf"the{GAP}{_BEFORE_OPTION}option{GAP}(?:is|would be)\b{GAP}(?:(?:therefore|thus|then)\b)?"
    rf"[*_]*{GAP}[:：]?[*_]*\s*"
    rf"|^{GAP}{_DECOR}{GAP}{_BEFORE_OPTION}option{GAP}{_DECOR}{GAP}[:：][*_]*\s*"
    rf"|^{GAP}(?:#+{GAP}|\*\*|__)option{GAP}(?:#+|\*\*|__|){GAP}\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_OPEN, _CLOSE = r"[*_\"'“‘(\[<`]*", r"[*_\"'”’)\]>`]*"
_NAMED = rf"{_OPEN}(?:[Oo]ption\s{{1,8}})?{_OPEN}"
_LETTER = re.compile(
    rf"{_NAMED}(?P<letter>[A-Z]){_CLOSE}(?P<tail>(?:(?<=[)\]])(?!\s*(?:or|and|[/?&+]))"
    r"|\s*(?:$|###|[.,:;!。，–—-]|\(|(?:because|since|as)\b)).*)"
)
_SMALL_LETTER = re.compile(rf"{_NAMED}(?P<letter>[a-d]){_CLOSE}[.!。]?\s*(?:###)?")
_OTHER_LETTER = re.compile(r"\b(?:[B-D]|A(?!\s+[a-z]))\b")
_BLANKS = r"\s{1,8}"
_ANY_LETTER = rf"{_NAMED}[A-D]\b{_CLOSE}"
_REJECTED = re.compile(
    rf"(?:^|,?{_BLANKS})(?:and{_BLANKS})?(?:[Nn]ot|rather than|instead of){_BLANKS}{_ANY_LETTER}"
    rf"(?:,?{_BLANKS}(?:or|nor|and){_BLANKS}{_ANY_LETTER}){{0,3}}(?:,?{_BLANKS}but(?: rather)?\b)?"
)
_LISTED = re.compile(rf"\s*{_OPEN}[A-D][.):]")


def read_option(text: str) -> str:
    """Return the verdict of a classification: "A", "B", "C" or "D".

    Raises ParseError unless the last sentence ``The option is …``, or the part ``#Option#``, names
    one option and no other one contradicts it. A letter anywhere else in the text is no verdict.
    """
    text = look(_answer_of(text))
    found = list(_VERDICT.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    verdicts = [_letter(text[m.end() : end]) for m, end in zip(found, ends, strict=True)]
    if not verdicts:
        raise ParseError('the verdict "So the option is: …" is not given')
    last = verdicts[-1]
    if last is None or last not in OPTIONS:
        raise ParseError('"So the option is: …" does not name one of A, B, C and D')
    if {each for each in verdicts if each} != {last}:
        raise ParseError('"So the option is: …" is given more than once, with different options')
    return last


def _letter(rest: str) -> str | None:
    """Return the letter that a verdict goes on with, if its line names no other one."""
    line, _, below = rest.partition("\n")
    if _LISTED.match(line) and _LISTED.match(below):
        return None  # choices of the instruction's own
    line = _REJECTED.sub("", line).strip()
    if small := _SMALL_LETTER.fullmatch(line):
        return small["letter"].upper()
    found = _LETTER.match(line)
    if not found:
        return None
    others = set(_OTHER_LETTER.findall(found["tail"])) - {found["letter"]}
    return None if others else found["letter"]


_ANSWER = re.compile(
    rf"(?:^{GAP}{_DECOR}{GAP}(?:final{GAP})?answer{GAP}{_DECOR}{GAP}[:：][*_]*\s*"
    rf"|^{GAP}(?:#+{GAP}|\*\*|__)answer{GAP}(?:#+|\*\*|__|){GAP}\n\s*"
    rf"|(?:^|(?<=[.!?:;])){_LEAD}(?:(?:so|thus|therefore)\b{GAP},?{GAP})?the{GAP}answer{GAP}is\b"
    rf"{GAP}[:：]?\s*"
    r"|\A\s*)[*_\"'“]*(?P<said>yes|no)\b[*_\"'”]*(?=\s*(?:\Z|\n|###|[.,:;!(。，–—-]))"
    r"(?!\s*[,.–—-]?\s*(?:but|except|although|though|however|partly|partially)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def read_verdict(text: str) -> bool:
    """Return whether a refinement says that the new instruction retains all that is needed.

    Raises ParseError unless the whole word yes or no stands after ``Answer:`` or begins the text.
    """
    text = look(_answer_of(text))
    places = [match.start() for match in outside(code_in(text), NEW[0], text)]
    verdicts = {
        match["said"].casefold()
        for match in _ANSWER.finditer(text, 0, min(places, default=len(text)))
    }
    if len(verdicts) != 1:
        problem = "is not given" if not verdicts else "is both yes and no"
        raise ParseError(f'the verdict "Answer: Yes" or "Answer: No" {problem}')
    return verdicts == {"yes"}
