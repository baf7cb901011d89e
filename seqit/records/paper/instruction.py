"""The new instruction in a completion of the reference implementation, read strictly.

A rewrite comes as ``#Explanation#: … #New Instruction#: … ###``. The instruction is read from its
marked place alone: where that place is missing, doubled or open at its end, there is none.
Source: the form that the prompts of arXiv 2403.07794 ask for; see docs/paper-parser.md.
"""

import re
from itertools import pairwise

from seqit.errors import RowError
from seqit.records.paper.answer import (
    GAP,
    answer_of,
    code_in,
    fences_in,
    inside_fence,
    look,
    outside,
)
from seqit.records.text.quotes import bare, drop_quotes

_INSTRUCTION = r"(?:[^\S\n]|_){0,8}instructions?"
_COLON = r"[:：]"
_BOLD = r"(?:\*\*|__)"


def _marker(name: str) -> tuple[re.Pattern[str], ...]:
    """Return what marks a place, in falling order of exactness; all begin a line.

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
        # Prose goes on with a small letter ("#New Instruction# should ask more"); and a dash or a
        # bracket may be a note as well as the text's own.
        rf"^{GAP}{wrap}{hashed}{GAP}(?P=wrap){GAP}(?=\S)(?-i:(?![a-zà-öø-ÿ]))(?![(–—=>•#-])",
        rf"^{GAP}{here}{_BOLD}?{hashed}{_BOLD}?{GAP}(?:{_COLON}|{line_end})",
        rf"^{GAP}{capital}{GAP}(?:{_COLON}|{line_end})",
    )
    return tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns)


NEW = _marker(f"New{_INSTRUCTION}")
EXPLANATION = _marker("Explanation")
_ORIGINAL = _marker(f"Original{_INSTRUCTION}")
_PARTS = (NEW, _ORIGINAL, EXPLANATION, _marker("Option")[:-1])

# Three hashes that end a line; a fourth before them is the text's own where it ends in "C#".
_END = re.compile(
    r"(?<!#)(?:(?<=\b[A-Za-z])#)?(?P<end>###)(?=[^\S\n]*(?:\n|\Z))"
    r"|^[^\S\n]*(?P<wrap>\*\*|__|`)###(?P=wrap)[^\S\n]*$",
    re.MULTILINE,
)
_CLOSED_HEADING = re.compile(r"[^\S\n]*###[^\S\n]+\S.*[^\S\n]")  # "### Title ###"
_STAND_IN = re.compile(r"[\[(<{][^\[\](){}<>\n]*\binstruction\b[^\[\](){}<>\n]*[\])>}]", re.I)


def read_instruction(text: str, finished: bool = False) -> str:
    """Return the new instruction that stands between its marker and its end marker.

    `finished` says that the completion is known not to be cut off: then its end is an end marker
    too. Raises RowError where the marker or the end marker is missing or doubled, or nothing is
    between them. Quotes around all of it are dropped; everything else stays as written.
    """
    answer = answer_of(text)
    exactness, markers = _most_exact(NEW, look(answer))
    ends = [*(marker.start() for marker in markers[1:]), len(answer)]
    places = [answer[marker.end() : end] for marker, end in zip(markers, ends, strict=True)]
    if len(places) == 1:
        return _instruction(places[0], exactness, finished)
    try:
        (instruction,) = {_instruction(place, exactness, finished) for place in places}
    except (RowError, ValueError):
        raise RowError(f"#New Instruction# is given {len(places)} times") from None
    return instruction


def _most_exact(
    patterns: tuple[re.Pattern[str], ...], shown: str
) -> tuple[int, list[re.Match[str]]]:
    """Return the most exact pattern's number that is there at all, and where it is."""
    fences = fences_in(shown)
    for exactness, pattern in enumerate(patterns):
        if found := list(outside(fences, pattern, shown)):
            return exactness, found
    raise RowError("#New Instruction# is not given at the beginning of a line")


def _instruction(place: str, exactness: int, finished: bool) -> str:
    """Return the instruction with which the place after a marker begins."""
    instruction = drop_quotes(bare(_ended(place, exactness, finished)))
    if not any(map(str.isalnum, instruction)):
        raise RowError("the new instruction is empty")
    if _STAND_IN.fullmatch(instruction):
        raise RowError(f"{instruction} stands where the new instruction should be")
    return instruction


def _ended(place: str, exactness: int, finished: bool) -> str:
    """Return the text up to its end marker."""
    shown = look(place)
    code = code_in(shown)
    starts = map(_start, outside(code, _END, shown))
    ends = [start for start in starts if not _is_heading(shown, start)]
    if not ends:
        return _ended_within(place, exactness, finished)
    # An explanation or a further example behind the end may have an end of its own.
    others = (match for part in (EXPLANATION, _ORIGINAL) for match in outside(code, part[0], shown))
    last = min((each.start() for each in others if each.start() > ends[0]), default=len(shown))
    between = (shown[a:b] for a, b in pairwise(end for end in ends if end <= last))
    if any(text.strip("#*_` \r\n\t") for text in between):
        raise RowError("the new instruction is ended by ### more than once, with text between")
    _check_parts(shown[: ends[0]], exactness)
    return place[: ends[0]]


def _ended_within(place: str, exactness: int, finished: bool) -> str:
    """Return the text whose end marker stands within the fence or the quotes around all of it."""
    text = bare(place)
    if fenced := inside_fence(text):
        return _ended(fenced, exactness, finished=False)
    quoted = f"{text[:-4]}{text[-1:]}"  # without the three hashes before the closing quote
    if text[-4:-1] == "###" and "###" not in quoted and drop_quotes(quoted) != quoted:
        text = quoted
    elif not finished:
        raise RowError("the new instruction is not ended by ### at the end of a line")
    _check_parts(look(text), exactness)
    return text


def _check_parts(shown: str, exactness: int) -> None:
    code = code_in(shown)
    for part in _PARTS:
        if any(any(outside(code, each, shown)) for each in part[: exactness + 1]):
            raise RowError("another part stands before the ### that ends the new instruction")


def _start(end: re.Match[str]) -> int:
    return end.start("end") if end["end"] else end.start()


def _is_heading(shown: str, end: int) -> bool:
    """Tell whether the hashes close a heading of the same depth, ``### Title ###``."""
    return bool(_CLOSED_HEADING.fullmatch(shown[shown.rfind("\n", 0, end) + 1 : end]))
