"""The answer in a completion of the reference implementation, without what is around it.

Reasoning, code fences and repeated examples are not part of the answer. Matches are searched in
the normalized text (`normalize_characters`), which has the same length, and cut out of the
original text.
"""

import re
from collections.abc import Iterator

from seqit.errors import RowError
from seqit.records.text.quotes import ZERO_WIDTH
from seqit.records.text.reasoning import UNCLOSED_REASONING, strip_reasoning

TextSpan = tuple[int, int]

GAP = r"[^\S\n]{0,8}"  # optional white space; bounded, or long runs would take quadratic time

_REPLACEMENTS = str.maketrans(
    dict.fromkeys("\u2028\u2029\x85\x0b\x0c", "\n") | dict.fromkeys(ZERO_WIDTH, " ") | {"＃": "#"}
)
_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")

_END_OF_TURN = re.compile(r"(?:</s>|<\|(?:eot_id|im_end|end_of_text|endoftext|end)\|>)\s*\Z")
_CODE = re.compile(r"((?<!`)`{3,}+|^[^\S\n]*~{3,}+).*?\1", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"[^\S\n]*(`{3,}|~{3,})")
_FENCED = re.compile(r"\s*(`{3,})\w*[^\S\n]*\n(.*)\n[^\S\n]*\1\s*", re.DOTALL)
_EXAMPLE_END = rf"\*{{3,}}{GAP}end{GAP}of{GAP}examples?\b[^*\n]{{0,20}}\*{{3,}}"
_EXAMPLE_START = rf"^{GAP}\*{{3,}}{GAP}examples?\b[^*\n]{{0,20}}\*{{3,}}"
_EXAMPLE = re.compile(
    rf"{_EXAMPLE_START}.*?(?:{_EXAMPLE_END}|(?={_EXAMPLE_START})|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_EXAMPLE_END_AFTER_ANSWER = re.compile(rf"(?<=###)\s{{0,80}}{_EXAMPLE_END}", re.IGNORECASE)
_ORIGINAL_INSTRUCTION = re.compile(
    r"#\s{0,8}original[\s_]{0,8}instructions?\s{0,8}:?\s{0,8}#", re.I
)


def normalize_characters(text: str) -> str:
    """Return the text with one kind of line end and spaces for zero-width characters.

    Characters are replaced one by one, so that spans are valid in the original text too.
    """
    return _CARRIAGE_RETURN.sub("\n", text.translate(_REPLACEMENTS))


def extract_answer(text: str) -> str:
    """Return the text without what is not part of the answer.

    Removed are reasoning before it, end-of-turn tokens, the code fence around it, and the
    prompt's examples, which a model may repeat before its answer or continue after it. Raises
    RowError if the reasoning is never closed.
    """
    answer = strip_reasoning(text.removeprefix("\ufeff"))
    if answer is None:
        raise RowError(UNCLOSED_REASONING)
    answer = _END_OF_TURN.sub("", answer)
    return _without_examples(fence_content(answer) or answer)


def fence_content(text: str) -> str | None:
    """Return the content of the code fence around the whole text; None if there is none."""
    fenced = _FENCED.fullmatch(normalize_characters(text))
    return text[slice(*fenced.span(2))] if fenced else None


def _without_examples(answer: str) -> str:
    kept, position = [], 0
    for example in _EXAMPLE.finditer(normalize_characters(answer)):
        if _ORIGINAL_INSTRUCTION.search(example[0]):  # else it is a heading within the answer
            kept.append(answer[position : example.start()])
            position = example.end()
    answer = "".join([*kept, answer[position:]])
    end = _EXAMPLE_END_AFTER_ANSWER.search(normalize_characters(answer))
    return answer[: end.start()] if end else answer


def matches_outside(
    spans: list[TextSpan], pattern: re.Pattern[str], text: str
) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern that do not start within one of the spans."""
    for match in pattern.finditer(text):
        if not any(start <= match.start() < end for start, end in spans):
            yield match


def code_spans(text: str) -> list[TextSpan]:
    """Return the spans of code: fences and inline code with three or more backticks.

    From the opening to the end of the closing; code that is never closed has no span.
    """
    return [match.span() for match in _CODE.finditer(text)]


def fence_spans(text: str) -> list[TextSpan]:
    """Return the spans of code fences that are on their own lines.

    A single fence mentioned in an explanation is not paired with one of the instruction.
    """
    spans, opened, position = [], None, 0
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence and opened is None and "`" not in line[fence.end() :]:
            opened = position, fence[1]
        elif fence and opened and fence[1] == opened[1] and not line[fence.end() :].strip():
            spans.append((opened[0], position + len(line)))
            opened = None
        position += len(line) + 1
    return spans
