"""Quotes and invisible characters around a text, which are not part of it."""

ZERO_WIDTH = "\u200b\u2060\ufeff"
"""Characters without width that have no meaning wherever they occur."""


def strip_invisible(text: str) -> str:
    """Return the text without white space and zero-width characters at its ends."""
    while (inner := text.strip().strip(ZERO_WIDTH)) != text:
        text = inner
    return text


_PAIRS = (("“", '"', "”"), ("‘", "'", "’"))
_BEFORE_OPENING = "([{—–-“‘\"'"


def strip_quotes(text: str) -> str:
    """Return the text without the quotes, straight or curly, around the whole of it."""
    for opening, straight, closing in _PAIRS:
        quoted = text[:1] in (opening, straight) and text[-1:] in (straight, closing)
        if quoted and len(text) > 1 and _is_one_quotation(text, opening, straight, closing):
            return strip_quotes(strip_invisible(text[1:-1]))
    return text


def _is_one_quotation(text: str, opening: str, straight: str, closing: str) -> bool:
    """Return whether the last quote closes the first one, and not another one in between."""
    depth = 0
    for index, character in enumerate(text):
        if character not in (opening, straight, closing):
            continue
        before, after = text[max(index - 1, 0) : index], text[index + 1 : index + 2]
        if before.isalnum() and after.isalnum():
            continue  # an apostrophe
        may_open = not before or before.isspace() or before in _BEFORE_OPENING
        if character == opening or (character == straight and may_open and after.strip()):
            depth += 1
        else:
            depth -= 1
        if depth == 0:
            return not after
    return False
