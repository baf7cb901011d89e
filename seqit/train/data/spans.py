"""Mask the tokens of a text that lie in spans, so that every span starts at a token boundary."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from seqit.train.data.conversation import UntrainableRow

ANCHORS = ("", "\n", "a", ".")
"""Prefixes for encoding a part of a text as in the middle of one."""

TAIL_CHARACTERS = 32
"""Number of final characters that decide the last tokens of a text."""


def mask_spans(
    backend: Any, text: str, spans: Sequence[tuple[int, int]], encoding: Any
) -> tuple[list[int], list[bool]]:
    """Return the tokens of a text, and a mask of the same length that is True in the spans.

    backend: of the `tokenizers` library; encoding: of the text; spans: character ranges in order,
    each with an end token. The text before a span has the same tokens as at inference, where it is
    encoded without the span. Raises UntrainableRow if a span has no token except its end token, or
    cannot be split from the text before it.
    """
    pieces = [EncodedPiece(0, encoding)]
    token_ranges: list[tuple[int, int]] = []
    for start, end in spans:
        if not _splits_cleanly(backend, pieces[-1], text, start):
            left, right = _split_piece(backend, pieces.pop(), text, start, end)
            pieces += [left, right]
        offset = sum(len(piece.ids) for piece in pieces[:-1])
        first, stop = (offset + each for each in pieces[-1].token_range(start, end))
        if stop - first < 2:
            raise UntrainableRow("zero-token", "the answer has no token except its end token")
        token_ranges.append((first, stop))
    ids = [token for piece in pieces for token in piece.ids]
    mask = [False] * len(ids)
    for first, stop in token_ranges:
        mask[first:stop] = [True] * (stop - first)
    return ids, mask


class EncodedPiece:
    """A part of a text that was encoded separately, after an anchor that is not part of it.

    start: index of its first character in the whole text.
    """

    __slots__ = ("anchor", "encoding", "ids", "start", "unused")

    def __init__(self, start: int, encoding: Any, anchor: str = "") -> None:
        self.start = start
        self.encoding = encoding
        self.anchor = anchor
        self.unused: int = encoding.char_to_token(len(anchor)) or 0 if anchor else 0
        self.ids: list[int] = encoding.ids[self.unused :]

    def has_token_at(self, index: int) -> bool:
        """Return True if a token starts at a character of the whole text."""
        position = index - self.start + len(self.anchor)
        token = self.encoding.char_to_token(position)
        return token is not None and self.encoding.token_to_chars(token)[0] == position

    def token_range(self, start: int, end: int) -> tuple[int, int]:
        """Return the first token of a span of the whole text, and the one after its last token.

        Raises UntrainableRow if the first or last character of the span has no token.
        """
        offset = len(self.anchor) - self.start
        first = self.encoding.char_to_token(start + offset)
        last = self.encoding.char_to_token(end - 1 + offset)
        if first is None or last is None:
            raise UntrainableRow("template", "the tokenizer drops the beginning of the answer")
        return first - self.unused, last + 1 - self.unused


def _splits_cleanly(backend: Any, piece: EncodedPiece, text: str, start: int) -> bool:
    """Return True if the tokens before `start` are those of the text that ends there."""
    if start == piece.start:
        return True
    if not piece.has_token_at(start):
        return False
    first, _ = piece.token_range(start, start + 1)
    tail = backend.encode(text[max(start - TAIL_CHARACTERS, 0) : start], add_special_tokens=False)
    expected: list[int] = tail.ids[-2:]
    return piece.ids[max(first - len(expected), 0) : first] == expected


def _split_piece(
    backend: Any, piece: EncodedPiece, text: str, start: int, end: int
) -> tuple[EncodedPiece, EncodedPiece]:
    """Split a piece into two, of which the second starts at `start`.

    Some tokenizers insert a space before any text they encode, so the second piece is encoded
    after each of ANCHORS until it splits cleanly. Raises UntrainableRow if the tokens up to `end`
    never decode to the same text.
    """
    left = _encode_piece(backend, piece.start, text[piece.start : start], piece.anchor)
    before = left.ids[-1:]
    expected = _normalize(_decode(backend, before) + text[start:end])
    for anchor in ANCHORS:
        right = _encode_piece(backend, start, text[start:], anchor)
        if right.has_token_at(start):
            span_ids = right.ids[slice(*right.token_range(start, end))]
            if _normalize(_decode(backend, before + span_ids)) == expected:
                return left, right
    raise UntrainableRow(
        "template", "the tokenizer joins the end of the prompt to the beginning of the answer"
    )


def _encode_piece(backend: Any, start: int, text: str, anchor: str) -> EncodedPiece:
    return EncodedPiece(start, backend.encode(anchor + text, add_special_tokens=False), anchor)


def _decode(backend: Any, ids: list[int]) -> str:
    text: str = backend.decode(ids, skip_special_tokens=False)
    return text


def _normalize(text: str) -> str:
    """Return a text with the differences removed that a tokenizer's normalizer may cause."""
    return unicodedata.normalize("NFKC", text)
