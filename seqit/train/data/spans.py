"""Which tokens of a text lie in its spans, cut so that each span begins with a token of its own."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from seqit.train.data.conversation import UntrainableRow

ANCHORS = ("", "\n", "a", ".")
"""What is put before a part of a text, so that it is encoded as it is in the midst of one."""


TAIL = 32
"""Characters of a text that decide its last tokens."""


def mark(
    backend: Any, text: str, spans: Sequence[tuple[int, int]], encoding: Any
) -> tuple[list[int], list[bool]]:
    """Return the tokens of a text, and which of them are in its spans, as many.

    backend: of the `tokenizers` library; encoding: its of the text; spans: characters, in order,
    each with an end token. What is before a span ends with the tokens that it would have alone, as
    at inference. Raises UntrainableRow where a span is its end token alone, or cannot be parted from what
    is before it.
    """
    pieces = [EncodedPiece(0, encoding)]
    bounds: list[tuple[int, int]] = []
    for start, end in spans:
        if not _parts(backend, pieces[-1], text, start):
            left, right = _parted(backend, pieces.pop(), text, start, end)
            pieces += [left, right]
        base = sum(len(piece.ids) for piece in pieces[:-1])
        first, after = (base + each for each in pieces[-1].tokens(start, end))
        if after - first < 2:
            raise UntrainableRow("zero-token", "the answer comes to no token beside its end")
        bounds.append((first, after))
    ids = [token for piece in pieces for token in piece.ids]
    targets = [False] * len(ids)
    for first, after in bounds:
        targets[first:after] = [True] * (after - first)
    return ids, targets


class EncodedPiece:
    """A part of a text that was encoded by itself, behind an anchor that is not part of it.

    start: its first character in the whole text.
    """

    __slots__ = ("anchor", "encoding", "ids", "start", "unused")

    def __init__(self, start: int, encoding: Any, anchor: str = "") -> None:
        self.start = start
        self.encoding = encoding
        self.anchor = anchor
        self.unused: int = encoding.char_to_token(len(anchor)) or 0 if anchor else 0
        self.ids: list[int] = encoding.ids[self.unused :]

    def begins_at(self, place: int) -> bool:
        """Tell whether a token begins at a character of the whole text."""
        here = place - self.start + len(self.anchor)
        token = self.encoding.char_to_token(here)
        return token is not None and self.encoding.token_to_chars(token)[0] == here

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """Return the first of its tokens in a span of the whole text, and the one after the last.

        Raises UntrainableRow where the tokenizer makes nothing of the span's first character.
        """
        away = len(self.anchor) - self.start
        first = self.encoding.char_to_token(start + away)
        last = self.encoding.char_to_token(end - 1 + away)
        if first is None or last is None:
            raise UntrainableRow("template", "the tokenizer leaves out the beginning of the answer")
        return first - self.unused, last + 1 - self.unused


def _parts(backend: Any, piece: EncodedPiece, text: str, start: int) -> bool:
    """Tell whether the tokens before a character are those of the text that ends there."""
    if start == piece.start:
        return True
    if not piece.begins_at(start):
        return False
    first, _ = piece.tokens(start, start + 1)
    tail = backend.encode(text[max(start - TAIL, 0) : start], add_special_tokens=False)
    alone: list[int] = tail.ids[-2:]
    return piece.ids[max(first - len(alone), 0) : first] == alone


def _parted(
    backend: Any, whole: EncodedPiece, text: str, start: int, end: int
) -> tuple[EncodedPiece, EncodedPiece]:
    """Return two pieces in place of one, of which the second begins at `start`.

    Some tokenizers put a blank before whatever they are given, so a character is tried before it
    that parts cleanly. Raises UntrainableRow where the tokens up to `end` make another text.
    """
    left = _piece(backend, whole.start, text[whole.start : start], whole.anchor)
    before = left.ids[-1:]
    wanted = _same_form(_decoded(backend, before) + text[start:end])
    for anchor in ANCHORS:
        right = _piece(backend, start, text[start:], anchor)
        if right.begins_at(start):
            said = right.ids[slice(*right.tokens(start, end))]
            if _same_form(_decoded(backend, before + said)) == wanted:
                return left, right
    raise UntrainableRow(
        "template", "the tokenizer joins the end of the prompt to the beginning of the answer"
    )


def _piece(backend: Any, start: int, text: str, anchor: str) -> EncodedPiece:
    return EncodedPiece(start, backend.encode(anchor + text, add_special_tokens=False), anchor)


def _decoded(backend: Any, ids: list[int]) -> str:
    text: str = backend.decode(ids, skip_special_tokens=False)
    return text


def _same_form(text: str) -> str:
    """Return a text as its tokenizer's normaliser may have left it."""
    return unicodedata.normalize("NFKC", text)
