"""The rule about invisible characters, and about replacements of lost ones."""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from seqit.filter.rule import TEXT_FIELDS, Rejection, Rule
from seqit.records.record import Record

# Maps ASCII's control characters to 0 and all others to themselves.
_CONTROLS = frozenset((*range(9), 11, 12, *range(14, 32), 127))
_CONTROLS_TO_NUL = bytes(0 if code in _CONTROLS else code for code in range(256))

# A superset of the pattern below, at a twentieth of its cost.
_SUSPECT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202d\u202e\u2060-\u2069"
    "\ud800-\udfff\ufeff\ufffd-\uffff\U000e0000-\U000e007f]"
)
# Joiners, marks and isolates are part of Persian, Indic, Arabic and Hebrew spelling and of emoji,
# and a single zero-width space or byte order mark does no harm; a run of them hides text. With
# overrides (Trojan Source, CVE-2021-42574) and tag characters (outside a flag) the visible text
# differs from the content.
_NON_PRINTING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufffd-\uffff]"
    "|[\u200b-\u200f\u2060-\u2069\ufeff]{4}"
    "|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]"
)


@dataclass
class NonPrinting(Rule):
    """Reject texts with control characters, replacement characters or hidden text."""

    name: ClassVar[str] = "non-printing"
    explanation: ClassVar[str] = (
        "A text contains a control character other than tab and line breaks, a replacement "
        "character (U+FFFD), a lone surrogate, a bidirectional override, or hidden characters."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the first such character and its position."""
        text = record["instruction"] + record["input"] + record["output"]
        if text.isascii():  # a byte table is four times as fast as a regular expression
            if b"\0" not in text.encode().translate(_CONTROLS_TO_NUL):
                return None
        elif not _SUSPECT.search(text) or not _NON_PRINTING.search(text):
            return None
        return _reject(record)


def _reject(record: Record) -> Rejection:
    searched = ((field, _NON_PRINTING.search(record[field])) for field in TEXT_FIELDS)
    field, character, position = next((f, m[0][0], m.start()) for f, m in searched if m)
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, _unnamed(character))
    message = f"the {field} holds {code} ({name}) at character {position + 1}"
    evidence = {"field": field, "code_point": code, "position": position + 1}
    return Rejection("non-printing", message, evidence)


def _unnamed(character: str) -> str:
    kinds = {"Cc": "a control character", "Cs": "a lone surrogate", "Cn": "not a character"}
    return kinds.get(unicodedata.category(character), "without a name")
