"""Strict parser for the new instruction in a completion of the reference implementation.

A rewrite has the form ``#Explanation#: … #New Instruction#: … ###``. Only the marked section is
parsed: if it is missing, duplicated or not ended, parsing fails. Error messages are sent back to
the model (``--parser paper``), so they must not change.
Source: the form that the prompts of arXiv 2403.07794 ask for; see docs/paper-parser.md.
"""

import re
from itertools import pairwise

from seqit.errors import RowError
from seqit.records.paper.answer import (
    GAP,
    code_spans,
    extract_answer,
    fence_content,
    fence_spans,
    matches_outside,
    normalize_characters,
)
from seqit.records.text.quotes import strip_invisible, strip_quotes

_INSTRUCTION = r"(?:[^\S\n]|_){0,8}instructions?"
_COLON = r"[:：]"
_BOLD = r"(?:\*\*|__)"


def _markers(name: str) -> tuple[re.Pattern[str], ...]:
    """Return the patterns that mark a section, the most exact first; all start a line.

    ``#Name#:``, also in bold or numbered; ``**Name**:`` or ``### Name``; ``#Name# Text in the
    line``; ``Here is the #Name#:``; ``Name:`` with capitals.
    """
    start = rf"^{GAP}(?:(?:\d{{1,2}}[.)]|[-*•]|#{{1,6}})[^\S\n]{{1,8}})?"
    wrap = rf"(?P<wrap>{_BOLD}|[*_`]|){GAP}"
    hashed = rf"#+{GAP}{_BOLD}?{GAP}{name}{GAP}{_COLON}?{GAP}{_BOLD}?{GAP}#+"
    line_end = r"(?=\n|\Z)"
    here = r"(?:\w+[!.,][^\S\n]{1,8})?(?:here(?:[ ]is|['’]s)|below[ ]is|this[ ]is)\b[^\n#.!?]{0,40}"
    capital = f"(?-i:{name[0]}){name[1:]}".replace("instr", "(?-i:I)nstr")
    patterns = (
        rf"{start}{wrap}{hashed}{GAP}"
        rf"(?:(?P=wrap){GAP}(?:{_COLON}|{line_end})|{_COLON}{GAP}(?P=wrap))",
        rf"{start}{_BOLD}{GAP}{name}{GAP}"
        rf"(?:{_BOLD}{GAP}(?:{_COLON}|{line_end})|{_COLON}{GAP}{_BOLD})"
        rf"|^{GAP}#+{GAP}{_BOLD}?{name}{GAP}{_BOLD}?(?:{_COLON}{GAP}{_BOLD}?|{GAP}{line_end})",
        # In prose a lower-case letter follows ("#New Instruction# should ask more"); and a dash or
        # a bracket may belong to a note as well as to the text.
        rf"^{GAP}{wrap}{hashed}{GAP}(?P=wrap){GAP}(?=\S)(?-i:(?![a-zà-öø-ÿ]))(?![(–—=>•#-])",
        rf"^{GAP}{here}{_BOLD}?{hashed}{_BOLD}?{GAP}(?:{_COLON}|{line_end})",
        rf"^{GAP}{capital}{GAP}(?:{_COLON}|{line_end})",
    )
    return tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns)


NEW_INSTRUCTION_MARKERS = _markers(f"New{_INSTRUCTION}")
EXPLANATION_MARKERS = _markers("Explanation")
_ORIGINAL_MARKERS = _markers(f"Original{_INSTRUCTION}")
_OPTION_MARKERS = _markers("Option")[:-1]
_SECTIONS = (NEW_INSTRUCTION_MARKERS, _ORIGINAL_MARKERS, EXPLANATION_MARKERS, _OPTION_MARKERS)

# Three hashes at the end of a line; a fourth one before them belongs to a text that ends in "C#".
_END_MARKER = re.compile(
    r"(?<!#)(?:(?<=\b[A-Za-z])#)?(?P<end>###)(?=[^\S\n]*(?:\n|\Z))"
    r"|^[^\S\n]*(?P<wrap>\*\*|__|`)###(?P=wrap)[^\S\n]*$",
    re.MULTILINE,
)
_CLOSED_HEADING = re.compile(r"[^\S\n]*###[^\S\n]+\S.*[^\S\n]")  # "### Title ###"
_PLACEHOLDER = re.compile(r"[\[(<{][^\[\](){}<>\n]*\binstruction\b[^\[\](){}<>\n]*[\])>}]", re.I)


def parse_instruction(text: str, finished: bool = False) -> str:
    """Return the new instruction between its marker and its end marker.

    `finished` says that the completion is known not to be cut off: then its end counts as an end
    marker too. Raises RowError if the marker or the end marker is missing or occurs twice, or if
    nothing is between them. Quotes around the whole of it are removed; the rest is verbatim.
    """
    answer = extract_answer(text)
    rank, markers = _most_exact(NEW_INSTRUCTION_MARKERS, normalize_characters(answer))
    ends = [*(marker.start() for marker in markers[1:]), len(answer)]
    sections = [answer[marker.end() : end] for marker, end in zip(markers, ends, strict=True)]
    if len(sections) == 1:
        return _instruction(sections[0], rank, finished)
    try:
        (instruction,) = {_instruction(section, rank, finished) for section in sections}
    except (RowError, ValueError):
        raise RowError(f"#New Instruction# is given {len(sections)} times") from None
    return instruction


def _most_exact(
    patterns: tuple[re.Pattern[str], ...], text: str
) -> tuple[int, list[re.Match[str]]]:
    """Return the index and the matches of the first pattern that has any."""
    fences = fence_spans(text)
    for rank, pattern in enumerate(patterns):
        if found := list(matches_outside(fences, pattern, text)):
            return rank, found
    raise RowError("#New Instruction# is not given at the beginning of a line")


def _instruction(section: str, rank: int, finished: bool) -> str:
    """Return the instruction at the start of the section after a marker of this rank."""
    instruction = strip_quotes(strip_invisible(_cut_at_end_marker(section, rank, finished)))
    if not any(map(str.isalnum, instruction)):
        raise RowError("the new instruction is empty")
    if _PLACEHOLDER.fullmatch(instruction):
        raise RowError(f"{instruction} stands where the new instruction should be")
    return instruction


def _cut_at_end_marker(section: str, rank: int, finished: bool) -> str:
    """Return the text before its end marker."""
    text = normalize_characters(section)
    code = code_spans(text)
    starts = map(_hashes_start, matches_outside(code, _END_MARKER, text))
    ends = [start for start in starts if not _closes_heading(text, start)]
    if not ends:
        return _cut_inside_wrapper(section, rank, finished)
    # An explanation or another example after the end may have its own end marker.
    others = (
        match
        for markers in (EXPLANATION_MARKERS, _ORIGINAL_MARKERS)
        for match in matches_outside(code, markers[0], text)
    )
    last = min((each.start() for each in others if each.start() > ends[0]), default=len(text))
    between = (text[a:b] for a, b in pairwise(end for end in ends if end <= last))
    if any(part.strip("#*_` \r\n\t") for part in between):
        raise RowError("the new instruction is ended by ### more than once, with text between")
    _check_sections(text[: ends[0]], rank)
    return section[: ends[0]]


def _cut_inside_wrapper(section: str, rank: int, finished: bool) -> str:
    """Return the text whose end marker is inside the fence or the quotes around the whole of it."""
    text = strip_invisible(section)
    if fenced := fence_content(text):
        return _cut_at_end_marker(fenced, rank, finished=False)
    quoted = f"{text[:-4]}{text[-1:]}"  # without the three hashes before the closing quote
    if text[-4:-1] == "###" and "###" not in quoted and strip_quotes(quoted) != quoted:
        text = quoted
    elif not finished:
        raise RowError("the new instruction is not ended by ### at the end of a line")
    _check_sections(normalize_characters(text), rank)
    return text


def _check_sections(text: str, rank: int) -> None:
    """Raise RowError if another section starts in the text, with a marker at least as exact."""
    code = code_spans(text)
    for markers in _SECTIONS:
        if any(any(matches_outside(code, each, text)) for each in markers[: rank + 1]):
            raise RowError("another part stands before the ### that ends the new instruction")


def _hashes_start(end: re.Match[str]) -> int:
    return end.start("end") if end["end"] else end.start()


def _closes_heading(text: str, end: int) -> bool:
    """Return whether the hashes close a heading of the same depth, ``### Title ###``."""
    return bool(_CLOSED_HEADING.fullmatch(text[text.rfind("\n", 0, end) + 1 : end]))
