"""Normalization of texts that are compared regardless of case and white space."""

import unicodedata

_LOWER = bytes(range(256)).lower()
_SPACE = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


def fold(text: str) -> bytes:
    """Return the text case-folded, in NFC and without white space, as UTF-8.

    NFC rather than NFKC, which would make ``5²`` equal to ``52``.
    """
    if text.isascii():  # one pass over the bytes costs a fifth of splitting into words
        return text.encode().translate(_LOWER, _SPACE)
    words = unicodedata.normalize("NFC", text.casefold()).split()
    return "".join(words).encode("utf-8", "surrogatepass")
