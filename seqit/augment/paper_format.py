"""The reference implementation's answer format, read strictly.

A rewrite comes as ``#Explanation#: … #New Instruction#: … ###``, a classification ends in ``So the
option is: C.###``, a refinement says ``Answer: Yes`` or ``Answer: No`` with a new instruction.
Each is read from its marked place alone: where that place is missing, doubled or open at its end,
the completion is unreadable; nothing is guessed, and nothing becomes "keep".
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from seqit.backends.asking import Unreadable

OPTIONS = "ABCD"  # decompose, prefix, suffix, keep

_GAP = r"[^\S\n]{0,8}"  # bounded, or long blanks would cost their length squared
_SPACED = r"(?:[^\S\n]|_){0,8}instructions?"
_NAMES = (f"new{_SPACED}", f"original{_SPACED}", "explanation", "option")


def _marker(name: str) -> tuple[re.Pattern[str], ...]:
    """Return what marks a place, in falling order of exactness; all begin a line.

    ``#Name#:``, also in bold; ``**Name**:`` or ``### Name``; ``#Name# and text in the line``.
    """
    bold = rf"^{_GAP}(?P<bold>\*\*|__|){_GAP}"
    hashed = rf"#+{_GAP}{name}{_GAP}#+"
    colon = r"[:：]"
    patterns = (
        rf"{bold}{hashed}{_GAP}(?:(?P=bold){_GAP}(?:{colon}|(?=\n|\Z))|{colon}{_GAP}(?P=bold))",
        rf"^{_GAP}(?:\*\*|__){_GAP}{name}{_GAP}"
        rf"(?:(?:\*\*|__){_GAP}(?:{colon}|(?=\n|\Z))|{colon}{_GAP}(?:\*\*|__))"
        rf"|^{_GAP}#+{_GAP}(?:\*\*)?{name}{_GAP}(?:\*\*)?(?:{colon}{_GAP}(?:\*\*)?|(?={_GAP}(?:\n|\Z)))",
        rf"{bold}{hashed}{_GAP}(?P=bold)",
    )
    return tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns)


_NEW = _marker(_NAMES[0])
_EXPLANATION = _marker(_NAMES[2])
_ANY = tuple(map(_marker, _NAMES))

# A fence or a code span of three backticks and more, from its opening to its end: one that is
# never closed hides nothing.
_CODE = re.compile(r"((?<!`)`{3,}+|^[^\S\n]*~{3,}+).*?\1", re.DOTALL | re.MULTILINE)

# Three hashes that end a line; a fourth before them is the text's own where it ends in "C#".
_END = re.compile(r"(?<!#)(?:(?<=\b[A-Za-z])#)?(?P<end>###)(?=[^\S\n]*(?:\n|\Z))")
_CLOSED_HEADING = re.compile(r"[^\S\n]*###[^\S\n]+\S.*[^\S\n]")  # "### Title ###"


def read_instruction(text: str) -> str:
    """Return the new instruction that stands between its marker and its end marker.

    Raises Unreadable where the marker or the end marker is missing or doubled, or nothing is
    between them. Quotes around all of it are dropped; everything else stays as written.
    """
    text = _answer_of(text)
    exactness, marker = _only(_NEW, text)
    body = text[marker.end() :]
    ends = [end.start("end") for end in _outside_code(_END, body) if not _is_heading(body, end)]
    if not ends:
        raise Unreadable("the new instruction is not ended by ### at the end of a line")
    if any(body[a + len("###") : b].strip() for a, b in pairwise(ends)):
        raise Unreadable("the new instruction is ended by ### more than once, with text between")
    instruction = body[: ends[0]]
    for patterns in _ANY:
        if any(any(_outside_code(each, instruction)) for each in patterns[: exactness + 1]):
            raise Unreadable("another part stands before the ### that ends the new instruction")
    instruction = drop_quotes(instruction.strip())
    if not instruction:
        raise Unreadable("the new instruction is empty")
    return instruction


def read_explanation(text: str) -> str:
    """Return what is said before the new instruction or the verdict; may be empty."""
    text = _answer_of(text)
    ends = [
        match.start()
        for pattern in (*_NEW, _VERDICT, _ANSWER)
        for match in _outside_code(pattern, text)
    ]
    before = text[: min(ends, default=len(text))]
    for pattern in _EXPLANATION:
        for match in pattern.finditer(before):
            return before[match.end() :].strip()
    return before.strip()


def _only(patterns: tuple[re.Pattern[str], ...], text: str) -> tuple[int, re.Match[str]]:
    """Return the one match of the most exact pattern that is there at all, and which it is."""
    for exactness, pattern in enumerate(patterns):
        found = list(_outside_code(pattern, text))
        if len(found) == 1:
            return exactness, found[0]
        if found:
            raise Unreadable(f"#New Instruction# is given {len(found)} times")
    raise Unreadable("#New Instruction# is not given at the beginning of a line")


def _outside_code(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    spans = [match.span() for match in _CODE.finditer(text)]
    for match in pattern.finditer(text):
        if not any(start <= match.start() < end for start, end in spans):
            yield match


def _is_heading(body: str, end: re.Match[str]) -> bool:
    """Tell whether the hashes close a heading of the same depth, ``### Title ###``."""
    line = body[body.rfind("\n", 0, end.start()) + 1 : end.start("end")]
    return bool(_CLOSED_HEADING.fullmatch(line))


_REASONING = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\s*(`{3,})\w*[^\S\n]*\n(.*)\n[^\S\n]*\1\s*", re.DOTALL)


def _answer_of(text: str) -> str:
    """Return the text without reasoning before it and the code fence that stands around it."""
    text = text.removeprefix("\ufeff")
    if reasoning := _REASONING.match(text):
        text = text[reasoning.end() :]
    fenced = _FENCED.fullmatch(text)
    return fenced.group(2) if fenced else text


# --- quotes ----------------------------------------------------------------------------------

_DOUBLE, _SINGLE = ("“", '"', "”"), ("‘", "'", "’")
_BEFORE_A_QUOTE = "([{—–-“‘\"'"


def drop_quotes(text: str) -> str:
    """Return the text without the quotes, straight or curly, that stand around all of it."""
    for opening, straight, closing in (_DOUBLE, _SINGLE):
        ends = text[:1] in (opening, straight) and text[-1:] in (straight, closing)
        if ends and len(text) > 1 and _encloses(text, opening, straight, closing):
            return text[1:-1].strip()
    return text


def _encloses(text: str, opening: str, straight: str, closing: str) -> bool:
    """Tell whether the last quote closes the first one, and not another one in between."""
    depth = 0
    for at, character in enumerate(text):
        if character not in (opening, straight, closing):
            continue
        before, after = text[max(at - 1, 0) : at], text[at + 1 : at + 2]
        if before.isalnum() and after.isalnum():
            continue  # an apostrophe
        begins = not before or before.isspace() or before in _BEFORE_A_QUOTE
        if character == opening or (character == straight and begins and after.strip()):
            depth += 1
        else:
            depth -= 1
        if depth == 0:
            return not after
    return False


# --- verdicts --------------------------------------------------------------------------------

_LEAD, _DECOR = r"[\s*_>]{0,8}", r"[#*_]{0,8}"
_VERDICT = re.compile(
    rf"(?:^|(?<=[.!?:;])){_LEAD}"
    rf"(?:(?:so|thus|hence|therefore|finally|overall|in conclusion|no|but|rather)\b{_GAP},?{_GAP})?"
    rf"the{_GAP}(?:(?:most{_GAP})?(?:best|right|correct|final|chosen|suitable|appropriate){_GAP})?"
    rf"option{_GAP}(?:is|would be)\b[*_]*{_GAP}:?[*_]*\s*"
    rf"|^{_GAP}{_DECOR}{_GAP}option{_GAP}{_DECOR}{_GAP}:[*_]*\s*"
    rf"|^{_GAP}#+{_GAP}option{_GAP}#+{_GAP}\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_LETTER = re.compile(
    r"[*_\"'“‘(\[]*(?:[Oo]ption\s+)?[*_\"'“‘(\[]*(?P<letter>[A-Z])[*_\"'”’)\]]*"
    r"(?P<tail>\s*(?:$|###|[.,:;!)–—-]|\(|(?:because|since|as)\b).*)"
)
_OTHER_LETTER = re.compile(r"\b(?:[B-D]|A(?!\s+[a-z]))\b")


def read_option(text: str) -> str:
    """Return the verdict of a classification: "A", "B", "C" or "D".

    Raises Unreadable unless the last sentence ``The option is …``, or the part ``#Option#``, names
    one option and no other one contradicts it. A letter anywhere else in the text is no verdict.
    """
    text = _answer_of(text)
    found = list(_VERDICT.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    verdicts = [_letter(text[m.end() : end]) for m, end in zip(found, ends, strict=True)]
    if not verdicts:
        raise Unreadable('the verdict "So the option is: …" is not given')
    last = verdicts[-1]
    if last is None or last not in OPTIONS:
        raise Unreadable('"So the option is: …" does not name one of A, B, C and D')
    if {each for each in verdicts if each} != {last}:
        raise Unreadable('"So the option is: …" is given more than once, with different options')
    return last


def _letter(rest: str) -> str | None:
    """Return the letter that a verdict goes on with, if its line names no other one."""
    found = _LETTER.match(rest.partition("\n")[0].strip())
    if not found:
        return None
    others = set(_OTHER_LETTER.findall(found["tail"])) - {found["letter"]}
    return None if others else found["letter"]


_YES_NO = r"[*_\"'“]*(?P<{}>yes|no)\b[*_\"'”]*(?=\s*(?:\Z|\n|###|[.,:;!–—-]))"
_ANSWER = re.compile(
    rf"^{_GAP}{_DECOR}{_GAP}answer{_GAP}{_DECOR}{_GAP}:[*_]*\s*{_YES_NO.format('marked')}"
    rf"|\A\s*{_YES_NO.format('first')}",
    re.IGNORECASE | re.MULTILINE,
)


def read_verdict(text: str) -> bool:
    """Return whether a refinement says that the new instruction retains all that is needed.

    Raises Unreadable unless the whole word yes or no stands after ``Answer:`` or begins the text.
    """
    text = _answer_of(text)
    places = [match.start() for match in _outside_code(_NEW[0], text)]
    verdicts = {
        (match["marked"] or match["first"]).casefold()
        for match in _ANSWER.finditer(text, 0, min(places, default=len(text)))
    }
    if len(verdicts) != 1:
        problem = "is not given" if not verdicts else "is both yes and no"
        raise Unreadable(f'the verdict "Answer: Yes" or "Answer: No" {problem}')
    return verdicts == {"yes"}
