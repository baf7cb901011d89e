"""What of a completion of the reference implementation is the answer, and how it looks.

Reasoning, fences and repeated examples around it are none of it. Everything is found in
the text as it looks (`look`), and cut out of the text as it is.
"""

import re
from collections.abc import Iterator

from seqit.errors import RowError
from seqit.records.text.quotes import UNSEEN
from seqit.records.text.reasoning import UNCLOSED, without_reasoning

TextSpan = tuple[int, int]

GAP = r"[^\S\n]{0,8}"  # bounded, or long blanks would cost their length squared

_LOOKS = str.maketrans(
    dict.fromkeys("\u2028\u2029\x85\x0b\x0c", "\n") | dict.fromkeys(UNSEEN, " ") | {"＃": "#"}
)
_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")

_TOKEN = re.compile(r"(?:</s>|<\|(?:eot_id|im_end|end_of_text|endoftext|end)\|>)\s*\Z")
_CODE = re.compile(r"((?<!`)`{3,}+|^[^\S\n]*~{3,}+).*?\1", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"[^\S\n]*(`{3,}|~{3,})")
_FENCED = re.compile(r"\s*(`{3,})\w*[^\S\n]*\n(.*)\n[^\S\n]*\1\s*", re.DOTALL)
_EXAMPLE_END = rf"\*{{3,}}{GAP}end{GAP}of{GAP}examples?\b[^*\n]{{0,20}}\*{{3,}}"
_EXAMPLE_START = rf"^{GAP}\*{{3,}}{GAP}examples?\b[^*\n]{{0,20}}\*{{3,}}"
_EXAMPLE = re.compile(
    rf"{_EXAMPLE_START}.*?(?:{_EXAMPLE_END}|(?={_EXAMPLE_START})|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_ANSWERED = re.compile(rf"(?<=###)\s{{0,80}}{_EXAMPLE_END}", re.IGNORECASE)
_ITS_ORIGINAL = re.compile(r"#\s{0,8}original[\s_]{0,8}instructions?\s{0,8}:?\s{0,8}#", re.I)


def look(text: str) -> str:
    """Return the text as it looks, sign for sign: one kind of line end, blanks for the unseen."""
    return _CARRIAGE_RETURN.sub("\n", text.translate(_LOOKS))


def answer_of(text: str) -> str:
    """Return the text without what is no part of the answer.

    That is reasoning before it, tokens that end a turn, the code fence around it, and the prompt's
    examples, which a model may repeat before its answer or go on with behind it. Raises RowError
    where the reasoning is never closed.
    """
    answer = without_reasoning(text.removeprefix("\ufeff"))
    if answer is None:
        raise RowError(UNCLOSED)
    answer = _TOKEN.sub("", answer)
    return _without_examples(inside_fence(answer) or answer)


def inside_fence(text: str) -> str | None:
    """Return what stands in the code fence around all of the text; None where there is none."""
    fenced = _FENCED.fullmatch(look(text))
    return text[slice(*fenced.span(2))] if fenced else None


def _without_examples(answer: str) -> str:
    kept, place = [], 0
    for example in _EXAMPLE.finditer(look(answer)):
        if _ITS_ORIGINAL.search(example[0]):  # else it is a heading of the answer's own
            kept.append(answer[place : example.start()])
            place = example.end()
    answer = "".join([*kept, answer[place:]])
    over = _ANSWERED.search(look(answer))
    return answer[: over.start()] if over else answer


def outside(spans: list[TextSpan], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern that do not begin within one of the spans."""
    for match in pattern.finditer(text):
        if not any(start <= match.start() < end for start, end in spans):
            yield match


def code_in(text: str) -> list[TextSpan]:
    """Return where code stands: fences and code spans of three backticks and more.

    From its opening to its end; what is never closed hides nothing.
    """
    return [match.span() for match in _CODE.finditer(text)]


def fences_in(text: str) -> list[TextSpan]:
    """Return where fences on lines of their own stand.

    So a lone fence that an explanation mentions pairs with none of the instruction's.
    """
    spans, opened, place = [], None, 0
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence and opened is None and "`" not in line[fence.end() :]:
            opened = place, fence[1]
        elif fence and opened and fence[1] == opened[1] and not line[fence.end() :].strip():
            spans.append((opened[0], place + len(line)))
            opened = None
        place += len(line) + 1
    return spans
