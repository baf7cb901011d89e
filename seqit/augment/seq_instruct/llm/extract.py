"""The extract stage: the content that an instruction carries is told from what it asks for.

The content is never taken from the answer: the answer says where it stands, and the record's own
bytes are kept. So a rewrite cannot lose or change any of it.
"""

import re
from dataclasses import replace

from seqit.augment.form import AnswerField, TaggedForm, Values
from seqit.augment.seq_instruct.llm.question import StageCaller
from seqit.augment.seq_instruct.llm.source import RewriteSource
from seqit.checks.measures import spaced
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.text.quotes import drop_quotes

STAGE = "extract"
FORM = TaggedForm((AnswerField("thought"), AnswerField("input", empty=True)))

_MANY_WORDS = 40
_NEW_TOKENS = 1024

_LINE_END = re.compile(r"\r\n|\r|\n")
_ANY_LINE_END = r"[^\S\r\n]*(?:\r\n|\r|\n)"
_FENCE_BEFORE = re.compile(r"(?:^|\n)([ \t]*(?:```|~~~)[^\n`]*\n)$")
_FENCE_AFTER = re.compile(r"\s*\n[ \t]*(?:```|~~~)(?=\s|$)")
_QUOTES = (*zip("\"'`“„‘«「", "\"'`”“’»」", strict=True), ("„", "”"))


def may_hold_content(instruction: str) -> bool:
    """Say whether an instruction is long enough to mix a task with content."""
    lines = [line for line in instruction.splitlines() if line.strip()]
    return len(lines) > 1 or len(instruction.split()) > _MANY_WORDS


def extract(questions: StageCaller) -> ModelCall[RewriteSource]:
    """Ask for the content within the record's instruction; raises Unanswered."""
    text = questions.record["instruction"]

    def judge(values: Values) -> RewriteSource:
        return split(text, values["input"])

    # A token is seldom shorter than two bytes: the answer has room for all of the text.
    room = max(_NEW_TOKENS, len(text.encode()) // 2 + 256)
    sampling = replace(
        questions.model.sampling, temperature=0.0, top_p=None, top_k=None, max_new_tokens=room
    )
    questions = replace(questions, shape=_as_it_is)
    return (
        yield from questions.complete(
            STAGE, STAGE, {"original": text}, FORM, judge, sampling=sampling
        )
    )


def split(text: str, answer: str) -> RewriteSource:
    """Return the text without the span that the answer is, and that span, in their order.

    White space at its ends and the kind of line ends may differ. What stands before and after the
    span is the instruction together. Raises ParseError unless the answer occurs once, and leaves
    something to be the instruction.
    """
    if not answer.strip():
        return RewriteSource(text)
    start, end = _widened(text, *_place(text, answer))
    before, content, after = text[:start], text[start:end], text[end:]
    if not any(map(str.isalnum, before + after)):
        raise ParseError("the input is all of the text, and nothing is left as the instruction")
    first = not before.strip()
    gap = after[: -len(after.lstrip())] if first else before[len(before.rstrip()) :]
    instruction = "\n".join(part.strip() for part in (before, after) if part.strip())
    return RewriteSource(instruction, content, first, gap)


def _as_it_is(form: TaggedForm) -> TaggedForm:
    return form


def _place(text: str, answer: str) -> tuple[int, int]:
    """Return where the answer stands in the text; quotes around it may be the model's own."""
    bare = drop_quotes(answer.strip())
    if bare != answer.strip() and answer.strip() not in text:
        answer = bare
    return _only_place(text, answer)


def _only_place(text: str, answer: str) -> tuple[int, int]:
    """Return where the answer begins and ends in the text."""
    lines = [re.escape(line.rstrip()) for line in _LINE_END.split(answer.strip())]
    pattern = re.compile(_ANY_LINE_END.join(lines))
    places, start = [], 0
    while found := pattern.search(text, start):
        if _stands_alone(text, *found.span()):
            places.append(found.span())
        start = found.start() + 1
    if not places:
        raise ParseError("the input is no part of the text; copy it exactly", "not-a-span")
    if len(places) > 1:
        raise ParseError(
            f"the input occurs {len(places)} times in the text; it must be a longer part",
            "ambiguous-span",
        )
    return places[0]


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Say whether a span begins and ends where words do."""
    for place in (start, end):
        edge = text[max(place - 1, 0) : place + 1]
        if 0 < place < len(text) and edge.isalnum() and spaced(edge):
            return False
    return True


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    """Take in the quotation marks or the fence around a span, and its first line's indentation."""
    opening, closing = _FENCE_BEFORE.search(text, 0, start), _FENCE_AFTER.match(text, end)
    if opening and closing:
        return opening.start(1), closing.end()
    if (text[start - 1 : start], text[end : end + 1]) in _QUOTES:
        return start - 1, end + 1
    line = text[:start].rstrip(" \t")
    return (len(line) if line.endswith(("\n", "\r")) else start), end
