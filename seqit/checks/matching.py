"""Match free-text answers with expected values: tolerant of wording, strict about the value.

The `compare_` functions return None if the answer states the value, else a sentence that says what
is wrong.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice

from seqit.checks import text_units

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|‘([^’]+)’")
_BOLD = re.compile(r"\*\*([^*]+)\*\*|`([^`\n]+)`")
_FENCE = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)
_LEAD_IN = re.compile(r"^[^\n]{0,160}?(?::|\b(?:is|are|becomes|reads|was|were|gives))(?=\s)\s*")
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|no longer)\b|n['’]t\b", re.IGNORECASE)
_WRAPPING = "*_`\" '"
_TYPOGRAPHY = str.maketrans("“”„‘’−\u00a0", '"""\'\'- ')

_LABEL = r"(?:(?:\(\w{1,2}\)|\d{1,3}[.)]|[A-Za-z][.)]|(?:sentence|option) \w:)\s)?"
_WRAP = r"[\s*_\"'`$€£¥]*"
# Separators between two listed values: punctuation, line breaks, "and", a bullet, number or letter.
_BETWEEN = re.compile(
    rf"[\s,;*_\"'`.|/]*(?:\b(?:and|or|then)\b)?[\s,;*_\"'`|]*(?:[-•–]\s+)?{_LABEL}{_WRAP}",
    re.IGNORECASE,
)
_LIST_START = re.compile(
    rf"(?:[^\n]{{0,200}}?(?::|\b(?:is|are|were|as follows)\b)|){_WRAP}(?:[-•–]\s+)?{_LABEL}{_WRAP}",
    re.IGNORECASE,
)
_LIST_END = re.compile(r"[\s\"'`*_.;!|]*(?:dollars|percent|%)?[\s\"'`*_.;!]*")

# fmt: off
_BELOW_TWENTY = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_VALUE_OF_WORD = {word: value for value, word in enumerate(_BELOW_TWENTY)} | {
    f"{ten}-{_BELOW_TWENTY[one]}" if one else ten: 10 * (rank + 2) + one
    for rank, ten in enumerate(_TENS)
    for one in range(10)
}
NUMBER_WORDS = {value: word for word, value in _VALUE_OF_WORD.items()}
"""The English words for 0 to 99."""


def normalize(text: str) -> str:
    """Return the text with plain quotes and dashes, and without wrapping quotes, bold or full stop.

    A text that consists of such characters only is returned unchanged.
    """
    bare = " ".join(text.translate(_TYPOGRAPHY).split())
    return bare.strip(_WRAPPING).rstrip(".").rstrip(_WRAPPING) or bare


def candidate_answers(answer: str) -> Iterator[str]:
    """Yield the texts that may be the value: the whole answer, what follows a lead-in, a quote."""
    bare = answer.strip()
    yield bare
    rest = bare
    for _ in range(4):
        lead = _LEAD_IN.match(rest)
        if not lead or lead.end() == len(rest) or _NEGATION.search(lead[0]):
            break
        rest = rest[lead.end() :]
        yield rest
    for wrapper in (_FENCE, _BOLD, _QUOTED):
        found = [next(filter(None, match.groups()), "") for match in wrapper.finditer(bare)]
        if len(found) == 1 and not _NEGATION.search(wrapper.sub(" ", bare)):
            yield found[0]


def without_label(answer: str) -> Iterator[str]:
    """Yield the answer, then the answer without its label ("Answer: yes") if it has one."""
    yield answer
    label, colon, rest = answer.partition(":")
    if colon and rest.strip() and "\n" not in label and len(label.split()) <= 6:
        yield rest.strip()


def compare_text(answer: str, value: str, caseless: bool = False) -> str | None:
    """Check that the answer states the text; quotes, bold or a full stop around it are ignored."""
    wanted = normalize(value)
    for candidate in candidate_answers(answer):
        found = normalize(candidate)
        if found == wanted or (caseless and found.casefold() == wanted.casefold()):
            return None
    return f"expected {_shortened(value)}, found {_shortened(answer)}"


def compare_exact_text(answer: str, value: str) -> str | None:
    """Check that the answer states the text with all its punctuation; white space may differ."""
    wanted = " ".join(value.translate(_TYPOGRAPHY).split())
    for candidate in candidate_answers(answer):
        if " ".join(candidate.translate(_TYPOGRAPHY).split()).strip("*`") == wanted.strip("*`"):
            return None
    return f"expected {_shortened(value)}, found {_shortened(answer)}"


def extract_numbers(answer: str) -> list[Decimal]:
    """Return the distinct numbers that the answer gives as its result, in order.

    Of a calculation only what follows the last "=" counts; numbers in quotes are ignored if there
    are others. Without digits, English number words up to ninety-nine are read.
    """
    text = answer.rsplit("=", 1)[1] if "=" in answer else answer
    if not (found := text_units.numbers(_QUOTED.sub(" ", text))):
        found = text_units.numbers(text)
    if not found:
        words = (word.casefold() for word in text_units.words(text))
        found = [Decimal(_VALUE_OF_WORD[word]) for word in words if word in _VALUE_OF_WORD]
    return list(dict.fromkeys(found))


def compare_numbers(answer: str, values: Sequence[Decimal]) -> str | None:
    """Check that the answer gives exactly these numbers in this order, list numbering apart."""
    for candidate in candidate_answers(answer):
        pairs = text_units.marked_lines(candidate)
        numbered = [mark.strip("(.)") for mark, _ in pairs] == [
            str(n + 1) for n in range(len(pairs))
        ]
        text = "\n".join(content for _, content in pairs) if numbered else candidate
        if text_units.numbers(text) == list(values):
            return None
    wanted = ", ".join(map(text_units.format_number, values))
    return f"expected the numbers {wanted}, found {_shortened(answer)}"


def compare_number(answer: str, value: Decimal) -> str | None:
    """Check that the answer gives this number and no other."""
    found = extract_numbers(answer)
    if found == [value] and not _NEGATION.search(answer):
        return None
    wanted = text_units.format_number(value)
    if not found:
        return f"expected the number {wanted}, found none in {_shortened(answer)}"
    return f"expected the number {wanted} alone, found {_shortened(answer)}"


def mentioned_values(answer: str, among: Sequence[str]) -> list[str]:
    """Return the values that the answer mentions as whole words, ignoring case."""
    text = answer.translate(_TYPOGRAPHY).casefold()
    found = set()
    # The longest first, removed when found: "a fish" is not a mention of "fish".
    for value in sorted(among, key=len, reverse=True):
        target = value.translate(_TYPOGRAPHY).casefold()
        positions = [p for p in _find_all(text, target) if _is_delimited(text, p, p + len(target))]
        if positions:
            found.add(value)
        for position in reversed(positions):
            text = f"{text[:position]}\0{text[position + len(target) :]}"
    return [value for value in among if value in found]


def _is_delimited(text: str, start: int, end: int) -> bool:
    """Return whether neither a letter nor a digit touches text[start:end]."""
    return not (start and text[start - 1].isalnum()) and not text[end : end + 1].isalnum()


def compare_choice(answer: str, value: str, among: Sequence[str]) -> str | None:
    """Check that the answer names this one of the possible values and none of the others."""
    alone = mentioned_values(answer, among) == [value]
    if alone and not _NEGATION.search(answer.replace(value, "")):
        return None
    return f"expected {_shortened(value)} alone, found {_shortened(answer)}"


def compare_list(answer: str, values: Sequence[str], caseless: bool = False) -> str | None:
    """Check that the answer lists exactly these values in this order, in any layout."""
    text, wanted = answer.translate(_TYPOGRAPHY), [_unwrapped(value) for value in values]
    if caseless:
        text, wanted = text.casefold(), [value.casefold() for value in wanted]
    if not wanted or not all(wanted):
        return "expected a list, but a value in the check is empty"
    # The first value may also occur in the sentence before the list: try each occurrence.
    positions = islice(_find_all(text, wanted[0]), 30)
    if any(_is_list_at(text, position, wanted) for position in positions):
        return None
    return f"expected the list {_shortened(', '.join(values))}, found {_shortened(answer)}"


def _unwrapped(value: str) -> str:
    return value.translate(_TYPOGRAPHY).strip(_WRAPPING)


def _find_all(text: str, value: str) -> Iterator[int]:
    """Yield the positions at which the value occurs, without overlap."""
    position = text.find(value)
    while position >= 0:
        yield position
        position = text.find(value, position + max(len(value), 1))


def _is_list_at(text: str, position: int, wanted: Sequence[str]) -> bool:
    """Return whether the list begins here, and nothing but a lead-in and an end surround it."""
    if not _LIST_START.fullmatch(text, 0, position):
        return False
    for count, value in enumerate(wanted):
        if count:
            gap = _BETWEEN.match(text, position)
            end = gap.end() if gap else position
            # A bullet or currency sign may be part of the value: backtrack to where that begins.
            while end > position and not text.startswith(value, end):
                end -= 1
            if end == position:
                return False
            position = end
        end = position + len(value)
        if not text.startswith(value, position) or not _is_whole(text, position, end):
            return False
        position = end
    return _LIST_END.fullmatch(text, position) is not None


def _is_whole(text: str, start: int, end: int) -> bool:
    """Return whether text[start:end] is not a part of a longer word or number."""
    before, first, last, after = (
        text[start - 1 : start],
        text[start],
        text[end - 1],
        text[end : end + 2],
    )
    if start and first.isalnum() and (before.isalnum() or (first.isdigit() and before in "-.")):
        return False
    if last.isdigit() and after[:1] in (".", ",") and after[1:].isdigit():
        return False
    return not (last.isalnum() and after[:1].isalnum())


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return f'"{one_line[:77]}…"' if len(one_line) > 80 else f'"{one_line}"'
