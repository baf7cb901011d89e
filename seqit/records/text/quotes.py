"""Quotes and blanks around a text, which are none of it."""

UNSEEN = "\u200b\u2060\ufeff"
"""Signs without width that say nothing, wherever they stand."""


def bare(text: str) -> str:
    """Return the text without white space and unseen signs at its ends."""
    while (inner := text.strip().strip(UNSEEN)) != text:
        text = inner
    return text


_PAIRS = (("“", '"', "”"), ("‘", "'", "’"))
_BEFORE_A_QUOTE = "([{—–-“‘\"'"


def drop_quotes(text: str) -> str:
    """Return the text without the quotes, straight or curly, that stand around all of it."""
    for opening, straight, closing in _PAIRS:
        ends = text[:1] in (opening, straight) and text[-1:] in (straight, closing)
        if ends and len(text) > 1 and _encloses(text, opening, straight, closing):
            return drop_quotes(bare(text[1:-1]))
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
