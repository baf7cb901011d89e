"""A strict parser for the reference implementation's answer format.

A rewrite is ``#Explanation#: … #New Instruction#: … ###``, a classification ends in ``So the
option is: C.###``, a refinement says ``Answer: Yes`` or ``Answer: No`` with a new instruction.
Each is parsed from its marked place only. If that place is missing, occurs twice or has no end,
the completion is a ParseError; the parser never guesses, and nothing becomes "keep".
"""

import re

from seqit.errors import RowError
from seqit.llm.model_call import ParseError
from seqit.records.paper import answer as paper_answer
from seqit.records.paper import instruction as paper_instruction
from seqit.records.paper.answer import GAP, code_spans, matches_outside, normalize_characters
from seqit.records.paper.instruction import EXPLANATION_MARKERS, NEW_INSTRUCTION_MARKERS

OPTIONS = "ABCD"  # decompose, prefix, suffix, keep


def parse_instruction(text: str) -> str:
    """Return the new instruction between its marker and its end marker.

    Raises ParseError for the reasons listed at seqit.records.paper.instruction.parse_instruction.
    """
    try:
        return paper_instruction.parse_instruction(text)
    except RowError as error:
        raise ParseError(str(error)) from None


def has_instruction(text: str) -> bool:
    """Return whether the text has the marker of a new instruction."""
    text = normalize_characters(_answer_text(text))
    code = code_spans(text)
    return any(any(matches_outside(code, marker, text)) for marker in NEW_INSTRUCTION_MARKERS)


def parse_explanation(text: str) -> str:
    """Return the text before the new instruction or the verdict; may be empty."""
    text = _answer_text(text)
    normalized = normalize_characters(text)
    ends = [
        match.start()
        for pattern in (*NEW_INSTRUCTION_MARKERS, _OPTION_VERDICT, _YES_NO_VERDICT)
        for match in matches_outside(code_spans(normalized), pattern, normalized)
    ]
    end = min(ends, default=len(text))
    starts = (
        match.end()
        for marker in EXPLANATION_MARKERS
        for match in marker.finditer(normalized, 0, end)
    )
    return text[next(starts, 0) : end].strip()


def _answer_text(text: str) -> str:
    try:
        return paper_answer.extract_answer(text)
    except RowError as error:
        raise ParseError(str(error), "truncated") from None


# --- verdicts --------------------------------------------------------------------------------

_LEAD, _DECOR = r"[\s*_>]{0,8}", r"[#*_]{0,8}"
_BEFORE_OPTION = r"(?:(?:most\s)?(?:best|final|chosen|selected|suitable|appropriate)\s{1,8})?"
_OPTION_VERDICT = re.compile(
    # Not "right" or "correct" option: that would answer a question in the instruction.
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


def parse_option(text: str) -> str:
    """Return the option of a classification: "A", "B", "C" or "D".

    Raises ParseError unless the last sentence ``The option is …``, or the part ``#Option#``, names
    one option and no other one contradicts it. Letters elsewhere in the text are ignored.
    """
    text = normalize_characters(_answer_text(text))
    matches = list(_OPTION_VERDICT.finditer(text))
    ends = [*(match.start() for match in matches), len(text)][1:]
    verdicts = [_letter(text[m.end() : end]) for m, end in zip(matches, ends, strict=True)]
    if not verdicts:
        raise ParseError('the verdict "So the option is: …" is not given')
    last = verdicts[-1]
    if last is None or last not in OPTIONS:
        raise ParseError('"So the option is: …" does not name one of A, B, C and D')
    if {each for each in verdicts if each} != {last}:
        raise ParseError('"So the option is: …" is given more than once, with different options')
    return last


def _letter(rest: str) -> str | None:
    """Return the letter that a verdict's text starts with, if its line names no other one."""
    line, _, below = rest.partition("\n")
    if _LISTED.match(line) and _LISTED.match(below):
        return None  # answer options of the instruction
    line = _REJECTED.sub("", line).strip()
    if small := _SMALL_LETTER.fullmatch(line):
        return small["letter"].upper()
    found = _LETTER.match(line)
    if not found:
        return None
    others = set(_OTHER_LETTER.findall(found["tail"])) - {found["letter"]}
    return None if others else found["letter"]


_YES_NO_VERDICT = re.compile(
    rf"(?:^{GAP}{_DECOR}{GAP}(?:final{GAP})?answer{GAP}{_DECOR}{GAP}[:：][*_]*\s*"
    rf"|^{GAP}(?:#+{GAP}|\*\*|__)answer{GAP}(?:#+|\*\*|__|){GAP}\n\s*"
    rf"|(?:^|(?<=[.!?:;])){_LEAD}(?:(?:so|thus|therefore)\b{GAP},?{GAP})?the{GAP}answer{GAP}is\b"
    rf"{GAP}[:：]?\s*"
    r"|\A\s*)[*_\"'“]*(?P<word>yes|no)\b[*_\"'”]*(?=\s*(?:\Z|\n|###|[.,:;!(。，–—-]))"
    r"(?!\s*[,.–—-]?\s*(?:but|except|although|though|however|partly|partially)\b)",
    re.IGNORECASE | re.MULTILINE,
)


def parse_verdict(text: str) -> bool:
    """Return whether a refinement says that the new instruction needs no change.

    Raises ParseError unless the whole word yes or no follows ``Answer:`` or starts the text.
    """
    text = normalize_characters(_answer_text(text))
    markers = matches_outside(code_spans(text), NEW_INSTRUCTION_MARKERS[0], text)
    end = min((match.start() for match in markers), default=len(text))
    verdicts = {match["word"].casefold() for match in _YES_NO_VERDICT.finditer(text, 0, end)}
    if len(verdicts) != 1:
        problem = "is not given" if not verdicts else "is both yes and no"
        raise ParseError(f'the verdict "Answer: Yes" or "Answer: No" {problem}')
    return verdicts == {"yes"}
