"""The extract stage: separate the content within an instruction from the request itself.

The model's answer only locates the content; its bytes are taken from the record. So a rewrite
cannot lose or change any of it.
"""

import re
from dataclasses import replace

from seqit.augment.form import AnswerField, FieldValues, TaggedForm
from seqit.augment.seq_instruct.llm.source import RewriteSource
from seqit.augment.seq_instruct.llm.stage_caller import StageCaller, default_format
from seqit.checks.text_units import is_space_separated
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.text.quotes import strip_quotes

STAGE = "extract"
FORM = TaggedForm((AnswerField("thought"), AnswerField("input", allow_empty=True)))

_MAX_WORDS_WITHOUT_CONTENT = 40
_MIN_NEW_TOKENS = 1024

_LINE_END = re.compile(r"\r\n|\r|\n")
_ANY_LINE_END = r"[^\S\r\n]*(?:\r\n|\r|\n)"
_FENCE_BEFORE = re.compile(r"(?:^|\n)([ \t]*(?:```|~~~)[^\n`]*\n)$")
_FENCE_AFTER = re.compile(r"\s*\n[ \t]*(?:```|~~~)(?=\s|$)")
_QUOTES = (*zip("\"'`“„‘«「", "\"'`”“’»」", strict=True), ("„", "”"))


def may_contain_content(instruction: str) -> bool:
    """Return whether an instruction is long enough to contain both a task and content."""
    lines = [line for line in instruction.splitlines() if line.strip()]
    return len(lines) > 1 or len(instruction.split()) > _MAX_WORDS_WITHOUT_CONTENT


def extract(caller: StageCaller) -> ModelCall[RewriteSource]:
    """Return the record's instruction, split from its content; raises CompletionFailed."""
    text = caller.record["instruction"]

    def parse(values: FieldValues) -> RewriteSource:
        return split_content(text, values["input"])

    # A token is seldom shorter than two bytes, so the answer can contain the whole text.
    max_new_tokens = max(_MIN_NEW_TOKENS, len(text.encode()) // 2 + 256)
    sampling = replace(
        caller.model.sampling,
        temperature=0.0,
        top_p=None,
        top_k=None,
        max_new_tokens=max_new_tokens,
    )
    caller = replace(caller, output_format=default_format)
    return (
        yield from caller.complete(STAGE, STAGE, {"original": text}, FORM, parse, sampling=sampling)
    )


def split_content(text: str, answer: str) -> RewriteSource:
    """Return the text split into the span that equals the answer, and the rest.

    White space at its ends and the kind of line ends may differ. The text before and after the
    span, joined, is the instruction. Raises ParseError unless the answer occurs exactly once and
    the rest is not empty.
    """
    if not answer.strip():
        return RewriteSource(text)
    start, end = _widen(text, *_find_span(text, answer))
    before, content, after = text[:start], text[start:end], text[end:]
    if not any(map(str.isalnum, before + after)):
        raise ParseError("the input is all of the text, and nothing is left as the instruction")
    content_first = not before.strip()
    separator = after[: -len(after.lstrip())] if content_first else before[len(before.rstrip()) :]
    instruction = "\n".join(part.strip() for part in (before, after) if part.strip())
    return RewriteSource(instruction, content, content_first, separator)


def _find_span(text: str, answer: str) -> tuple[int, int]:
    """Return the answer's span in the text, ignoring quotes that the model put around it."""
    unquoted = strip_quotes(answer.strip())
    if unquoted != answer.strip() and answer.strip() not in text:
        answer = unquoted
    return _find_unique_span(text, answer)


def _find_unique_span(text: str, answer: str) -> tuple[int, int]:
    """Return the answer's only span in the text; raises ParseError for none or several."""
    lines = [re.escape(line.rstrip()) for line in _LINE_END.split(answer.strip())]
    pattern = re.compile(_ANY_LINE_END.join(lines))
    spans, start = [], 0
    while match := pattern.search(text, start):
        if _is_whole_words(text, *match.span()):
            spans.append(match.span())
        start = match.start() + 1
    if not spans:
        raise ParseError("the input is no part of the text; copy it exactly", "not-a-span")
    if len(spans) > 1:
        raise ParseError(
            f"the input occurs {len(spans)} times in the text; it must be a longer part",
            "ambiguous-span",
        )
    return spans[0]


def _is_whole_words(text: str, start: int, end: int) -> bool:
    """Return whether a span starts and ends at word boundaries."""
    for boundary in (start, end):
        edge = text[max(boundary - 1, 0) : boundary + 1]
        if 0 < boundary < len(text) and edge.isalnum() and is_space_separated(edge):
            return False
    return True


def _widen(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span with surrounding quotes or code fence, and its first line's indentation."""
    opening, closing = _FENCE_BEFORE.search(text, 0, start), _FENCE_AFTER.match(text, end)
    if opening and closing:
        return opening.start(1), closing.end()
    if (text[start - 1 : start], text[end : end + 1]) in _QUOTES:
        return start - 1, end + 1
    line = text[:start].rstrip(" \t")
    return (len(line) if line.endswith(("\n", "\r")) else start), end
