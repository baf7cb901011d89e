"""Find the passages of an instruction that a rewrite must copy verbatim: code, tables, links, …"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class VerbatimSpan(NamedTuple):
    """A passage and its position in the text; kinds: code, table, option, link, quote.

    `text` is the content without delimiters such as fences and bullets; `start` and `end` include
    them.
    """

    start: int
    end: int
    kind: str
    text: str


# A fence that is not closed extends to the end of the text.
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


def find_verbatim_spans(text: str) -> tuple[list[VerbatimSpan], str]:
    """Return the spans in order, and the text with spaces in place of them.

    A passage has one kind, that of the first pattern that matches: a link in code is code. Inline
    code in a table row or in a list item is returned by itself and as part of its row or item.
    """
    found: list[VerbatimSpan] = []
    rest = text
    for kind, find in _FINDERS:
        spans = list(find(rest))
        found += (
            VerbatimSpan(start, end, kind, text[slice(*content_span)])
            for start, end, content_span in spans
            if any(map(str.isalnum, rest[start:end]))
        )
        rest = _blank_out(rest, [(start, end) for start, end, _ in spans])
    return sorted(found), rest


def _blank_out(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the text with the spans replaced by spaces; line breaks are kept."""
    parts, position = [], 0
    for start, end in spans:
        parts += [text[position:start], _NO_BREAK.sub(" ", text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


_NO_BREAK = re.compile(r"[^\n]")
_Spans = Iterator[tuple[int, int, tuple[int, int]]]
"""(start, end, (start, end) of the content)"""


def _matches(pattern: re.Pattern[str], group: int = 0) -> Callable[[str], _Spans]:
    def find(text: str) -> _Spans:
        for match in pattern.finditer(text):
            yield match.start(), match.end(), match.span(group)

    return find


def _table_rows(text: str) -> _Spans:
    """Find lines with several cells, separated by bars or tabs."""
    position = 0
    for line in text.splitlines(keepends=True):
        cells = [cell for cell in line.split("\t") if cell.strip()]
        if len(cells) > 1 or len(_BAR.findall(line)) > 1:
            span = position, position + len(line.rstrip("\r\n"))
            yield *span, span
        position += len(line)


def _options_in_a_line(text: str) -> _Spans:
    """Find (A) … (B) … in a line whose labels are A, B, C, … without a gap."""
    position = 0
    for line in text.splitlines(keepends=True):
        labels = list(_LABEL.finditer(line))
        names = [(label[1] or label[2]).upper() for label in labels]
        if len(names) > 1 and names == [*"ABCDEFGH"[: len(names)]]:
            ends = [*(label.start() for label in labels[1:]), len(line)]
            for label, end in zip(labels, ends, strict=True):
                content_span = position + label.end(), position + end
                yield position + label.start(), position + end, content_span
        position += len(line)


def _links(text: str) -> _Spans:
    for match in _LINK.finditer(text):
        end = match.start() + len(match[0].rstrip(".,;:!?)]}"))
        yield match.start(), end, (match.start(), end)


def _quotes(text: str) -> _Spans:
    """Find quoted text, line by line; quotation marks around the whole text are ignored."""
    for match in _QUOTE.finditer(text):
        if match[0] == text.strip():
            continue
        position = match.start()
        for line in match[0].splitlines(keepends=True):
            yield position, position + len(line), (position, position + len(line))
            position += len(line)


_FINDERS: tuple[tuple[str, Callable[[str], _Spans]], ...] = (
    ("code", _matches(_FENCED, 2)),
    ("code", _matches(_INLINE_CODE, 2)),
    ("table", _table_rows),
    ("code", _matches(_CODE_LINE)),
    ("option", _matches(_OPTION_LINE, 1)),
    ("option", _options_in_a_line),
    ("link", _links),
    ("quote", _quotes),
)
