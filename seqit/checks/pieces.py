"""The passages of an instruction that are material, not wording: they come back as they are."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Piece(NamedTuple):
    """A passage with its place in the text; kinds: code, table, option, link, quote."""

    start: int
    end: int
    kind: str
    text: str


# A fence that is not closed goes to the end.
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]+)\1(?!`)")
_CODE_LINE = re.compile(
    r"^(?:(?: {4,}|\t+)[ \t]*(?![-*•‣–\s]|\d+[.)]\s|\(?[A-Za-z][.)]\s)[^\t\n]*"
    r"|(?:(?:async )?def|class) \w+.*:|import \w[\w.]*|from \w[\w.]* import .*|#include\b.*"
    r"|\S.*(?:[{}]|\);|\};)|[{}])[ \t]*$",
    re.M,
)
_BAR = re.compile(r"(?<!\|)\|(?!\|)")  # two of them are "or" in code
_OPTION_LINE = re.compile(
    r"^[ \t]*(?:(?:[-*•‣–][ \t]+)?\(?[A-Za-z][.)]|[-*•‣–]|\(?\d{1,2}[.)])[ \t]+(\S.*)$", re.M
)
_LABEL = re.compile(r"(?<![\w(])(?:\(([A-Ha-h])\)|([A-Ha-h])\))[ \t]*")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'“”]+|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
_QUOTE = re.compile(
    r"\"[^\"\n]+(?:\n[ \t]*[^\s\"][^\"\n]*)*\"|“[^“”]+”|„[^„“”]+[“”]|«[^«»]+»|「[^「」]+」"
    r"|(?<!\w)‘[^‘’\n]+’(?!\w)|(?<!\w)'[^'\n]+'(?!\w)"
)


def pieces(text: str) -> tuple[list[Piece], str]:
    """Return the pieces in order, and the text with blanks in their place.

    A passage is a piece of one kind: a number in code is code. The one exception are short ones
    within a line of a table or of options, which are found with their line too.
    """
    found: list[Piece] = []
    rest = text
    for kind, find in _FINDERS:
        spans = list(find(rest))
        found += (
            Piece(start, end, kind, text[slice(*sought)])
            for start, end, sought in spans
            if any(map(str.isalnum, rest[start:end]))
        )
        rest = _blanked(rest, [(start, end) for start, end, _ in spans])
    return sorted(found), rest


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the text with blanks for all but the line breaks of the spans."""
    parts, place = [], 0
    for start, end in spans:
        parts += [text[place:start], _NO_BREAK.sub(" ", text[start:end])]
        place = end
    return "".join([*parts, text[place:]])


_NO_BREAK = re.compile(r"[^\n]")
Found = Iterator[tuple[int, int, tuple[int, int]]]


def _matches(pattern: re.Pattern[str], group: int = 0) -> Callable[[str], Found]:
    def find(text: str) -> Found:
        for match in pattern.finditer(text):
            yield match.start(), match.end(), match.span(group)

    return find


def _rows(text: str) -> Found:
    """Find lines of cells between bars or tabs."""
    place = 0
    for line in text.splitlines(keepends=True):
        cells = [cell for cell in line.split("\t") if cell.strip()]
        if len(cells) > 1 or len(_BAR.findall(line)) > 1:
            span = place, place + len(line.rstrip("\r\n"))
            yield *span, span
        place += len(line)


def _options_in_a_line(text: str) -> Found:
    """Find (A) … (B) …, where the labels begin with A and go on by one."""
    place = 0
    for line in text.splitlines(keepends=True):
        labels = list(_LABEL.finditer(line))
        names = [(label[1] or label[2]).upper() for label in labels]
        if len(names) > 1 and names == [*"ABCDEFGH"[: len(names)]]:
            ends = [*(label.start() for label in labels[1:]), len(line)]
            for label, end in zip(labels, ends, strict=True):
                yield place + label.start(), place + end, (place + label.end(), place + end)
        place += len(line)


def _links(text: str) -> Found:
    for match in _LINK.finditer(text):
        end = match.start() + len(match[0].rstrip(".,;:!?)]}"))
        yield match.start(), end, (match.start(), end)


def _quotes(text: str) -> Found:
    """Find quoted text, line by line; quotation marks around everything quote nothing."""
    for match in _QUOTE.finditer(text):
        if match[0] == text.strip():
            continue
        place = match.start()
        for line in match[0].splitlines(keepends=True):
            yield place, place + len(line), (place, place + len(line))
            place += len(line)


_FINDERS: tuple[tuple[str, Callable[[str], Found]], ...] = (
    ("code", _matches(_FENCED, 2)),
    ("code", _matches(_INLINE_CODE, 2)),
    ("table", _rows),
    ("code", _matches(_CODE_LINE)),
    ("option", _matches(_OPTION_LINE, 1)),
    ("option", _options_in_a_line),
    ("link", _links),
    ("quote", _quotes),
)
