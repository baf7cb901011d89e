"""Keys, tokens and passwords that are recognizable by their format."""

import re
from itertools import pairwise

from seqit.filter.rules.personal import SensitiveSpan

# Kind → substrings, one of which every such text contains and which are searched first, and its
# pattern. The publishers chose the prefixes so that leaked keys can be found.
_SHAPES: dict[str, tuple[tuple[str, ...], str]] = {
    "private-key": (
        ("PRIVATE KEY",),
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.*?-----END [A-Z0-9 ]+-----|[A-Za-z0-9+/=\s\\]*)",
    ),
    "aws": (("AKIA", "ASIA"), r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    "google": (("AIza",), r"(?<![\w-])AIza[\w-]{35}(?![\w-])"),
    "github": (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})(?!\w)",
    ),
    "gitlab": (("glpat-",), r"(?<!\w)glpat-[\w-]{20,64}(?![\w-])"),
    "slack": (("xox", "hooks.slack"), r"(?<!\w)xox[abeoprs]-[A-Za-z0-9-]{10,250}"
              r"|https://hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}"),
    "stripe": (("k_live_",), r"(?<!\w)[srp]k_live_[A-Za-z0-9]{20,250}"),
    "huggingface": (("hf_",), r"(?<!\w)hf_[A-Za-z0-9]{34,40}(?!\w)"),
    "npm": (("npm_",), r"(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)"),
    "openai": (("sk-",), r"(?<![\w-])sk-(?:[a-z]+[\w]*-)*[A-Za-z0-9_-]{20,250}(?![\w-])"),
    "jwt": (("eyJ",), r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "password-in-url": (
        ("://",),
        r"(?<=://)[^\s/:@'\"<>{}$\[\]]{1,64}:[^\s/@'\"<>{}$\[\]]{3,128}(?=@[\w.-]+)",
    ),
}  # fmt: skip
KINDS = tuple(_SHAPES)

_PATTERNS = {kind: re.compile(shape, re.ASCII | re.DOTALL) for kind, (_, shape) in _SHAPES.items()}
# Examples in documentation; a real key has no such words, and few repeated characters.
_EXAMPLE = re.compile(
    r"example|your|xxxx|placeholder|dummy|\*{3}|\.{3}|123456789|abcdefgh|user(?:name)?:pass",
    re.IGNORECASE,
)
_MIN_DISTINCT = 8


def find(text: str, kinds: tuple[str, ...]) -> list[SensitiveSpan]:
    """Return the findings of these kinds in text order, without overlaps."""
    found = [
        SensitiveSpan(kind, *match.span())
        for kind in kinds
        if any(part in text for part in _SHAPES[kind][0])
        for match in _PATTERNS[kind].finditer(text)
        if not _is_example(kind, match[0])
    ]
    found.sort(key=lambda each: (each.start, -each.end))
    overlapping = {after for before, after in pairwise(found) if after.start < before.end}
    return [each for each in found if each not in overlapping]


def _is_example(kind: str, text: str) -> bool:
    if _EXAMPLE.search(text):
        return True
    return kind != "password-in-url" and len(set(text)) < _MIN_DISTINCT
