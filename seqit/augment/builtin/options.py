"""Find the answer options of a multiple-choice question, in the formats that data sets use."""

import re
from typing import NamedTuple


class AnswerOption(NamedTuple):
    """One option: its label as written, such as "(A)" or "Sentence B", or ""; and its text."""

    label: str
    text: str

    @property
    def name(self) -> str:
        """How an answer refers to the option."""
        return self.label or self.text


_HEADING = re.compile(r"(?im)^[ \t]*(?:answer )?(?:options|choices)[ \t]*:[ \t]*\n")
_LINE = re.compile(
    r"[ \t]*(?:[-*•][ \t]+)?"
    r"(?:(\([A-Za-z]\)|[A-Za-z][).:](?=\s)|\(?\d{1,2}\)|Sentence [A-Z](?=:)):?[ \t]*)?(.*?)[ \t]*$"
)
_INLINE = re.compile(r"(?:(?<=\s)|^)(\(?[A-Ha-h][).])[ \t]+")


def find_options(text: str) -> tuple[str, tuple[AnswerOption, ...]]:
    """Return the question without its options, and the options; () if they are ambiguous."""
    if heading := _HEADING.search(text):
        stem, block = text[: heading.start()], text[heading.end() :]
        found = [_option(line) for line in block.strip().split("\n")]
    else:
        stem, found = _labelled_lines(text) or _inline(text) or (text, [])
    if len(found) > 1 and _is_consistent(found):
        return stem.strip(), tuple(found)
    return text.strip(), ()


def _option(line: str) -> AnswerOption:
    match = _LINE.match(line)
    label, text = (match[1] or "", match[2]) if match else ("", line)
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return AnswerOption(label, text)


def _labelled_lines(text: str) -> tuple[str, list[AnswerOption]] | None:
    """Parse consecutive labelled lines at the end of a text without a heading for them."""
    rows = text.rstrip().split("\n")
    first = len(rows)
    while first and (option := _option(rows[first - 1])).label and option.text:
        first -= 1
    if first == len(rows) or not first:
        return None
    return "\n".join(rows[:first]), [_option(row) for row in rows[first:]]


def _inline(text: str) -> tuple[str, list[AnswerOption]] | None:
    """Parse "Which is a fish? a) salmon b) robin c) whale"."""
    if not any(mark in text for mark in ("b)", "B)", "b. ", "B. ")):
        return None
    marks = list(_INLINE.finditer(text))
    if len(marks) < 3 or text.find("\n", marks[0].start()) >= 0:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    found = [
        AnswerOption(mark[1], text[mark.end() : end].strip().rstrip(",;"))
        for mark, end in zip(marks, ends, strict=True)
    ]
    return text[: marks[0].start()], found


def _is_consistent(found: list[AnswerOption]) -> bool:
    """Return whether the texts differ and the labels are A, B, C, … or 1, 2, 3, … or missing."""
    texts = {option.text.casefold() for option in found}
    if len(texts) < len(found) or "" in texts:
        return False
    marks = [option.label.strip("().:").removeprefix("Sentence ").casefold() for option in found]
    if not any(marks):
        return True
    first = "1" if marks[0] == "1" else "a"
    wanted = [str(n + 1) if first == "1" else chr(ord(first) + n) for n in range(len(marks))]
    return marks == wanted
