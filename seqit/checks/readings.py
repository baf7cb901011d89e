"""How a free answer states a value: tolerant of the words around it, strict about the value.

Every function returns None where the answer states the value, else a sentence that says what is
wrong.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice

from seqit.checks import measures

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|‘([^’]+)’")
_BOLD = re.compile(r"\*\*([^*]+)\*\*|`([^`\n]+)`")
_FENCE = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)
_LEAD_IN = re.compile(r"^[^\n]{0,160}?(?::|\b(?:is|are|becomes|reads|was|were|gives))(?=\s)\s*")
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|no longer)\b|n['’]t\b", re.IGNORECASE)
_WRAPPING = "*_`\" '"
_TYPOGRAPHY = str.maketrans("“”„‘’−\u00a0", '"""\'\'- ')

_LABEL = r"(?:(?:\(\w{1,2}\)|\d{1,3}[.)]|[A-Za-z][.)]|(?:sentence|option) \w:)\s)?"
_WRAP = r"[\s*_\"'`$€£¥]*"
# Between two listed values: punctuation, line breaks, "and", a bullet, a number or a letter.
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
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_IN_WORDS = {word: value for value, word in enumerate(_SMALL)} | {
    f"{ten}-{_SMALL[one]}" if one else ten: 10 * (rank + 2) + one
    for rank, ten in enumerate(_TENS)
    for one in range(10)
}
NUMBERS_IN_WORDS = {value: word for word, value in _IN_WORDS.items()}
"""The English words for 0 to 99."""


def plain(text: str) -> str:
    """Return the text without typography and without what wraps it: quotes, bold, a final stop.

    A text of nothing but such signs stays as it is.
    """
    bare = " ".join(text.translate(_TYPOGRAPHY).split())
    return bare.strip(_WRAPPING).rstrip(".").rstrip(_WRAPPING) or bare


def readings(answer: str) -> Iterator[str]:
    """Yield the texts that the answer may be stating: all of it, then what a lead-in announces."""
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


def without_lead_in(answer: str) -> Iterator[str]:
    """Yield the answer, and the answer without a label in front, as in "Answer: yes"."""
    yield answer
    label, colon, rest = answer.partition(":")
    if colon and rest.strip() and "\n" not in label and len(label.split()) <= 6:
        yield rest.strip()


def states_text(answer: str, value: str, caseless: bool = False) -> str | None:
    """Check that the answer states the text; quotes, bold or a stop around it change nothing."""
    wanted = plain(value)
    for reading in readings(answer):
        got = plain(reading)
        if got == wanted or (caseless and got.casefold() == wanted.casefold()):
            return None
    return f"expected {_short(value)}, found {_short(answer)}"


def states_exactly(answer: str, value: str) -> str | None:
    """Check that the answer states the text with every sign of it, spaces between words apart."""
    wanted = " ".join(value.translate(_TYPOGRAPHY).split())
    for reading in readings(answer):
        if " ".join(reading.translate(_TYPOGRAPHY).split()).strip("*`") == wanted.strip("*`"):
            return None
    return f"expected {_short(value)}, found {_short(answer)}"


def stated_numbers(answer: str) -> list[Decimal]:
    """Return the different numbers that the answer gives as its result, in order.

    A calculation counts by what follows its last "="; numbers in quotes are mentions. Without
    digits, English number words up to ninety-nine are read.
    """
    text = answer.rsplit("=", 1)[1] if "=" in answer else answer
    if not (found := measures.numbers(_QUOTED.sub(" ", text))):
        found = measures.numbers(text)
    if not found:
        spoken = (word.casefold() for word in measures.words(text))
        found = [Decimal(_IN_WORDS[word]) for word in spoken if word in _IN_WORDS]
    return list(dict.fromkeys(found))


def states_numbers(answer: str, values: Sequence[Decimal]) -> str | None:
    """Check that the answer gives exactly these numbers in this order; list numbering is none."""
    for reading in readings(answer):
        pairs = measures.marked_lines(reading)
        numbered = [mark.strip("(.)") for mark, _ in pairs] == [
            str(n + 1) for n in range(len(pairs))
        ]
        text = "\n".join(content for _, content in pairs) if numbered else reading
        if measures.numbers(text) == list(values):
            return None
    wanted = ", ".join(map(measures.plain_number, values))
    return f"expected the numbers {wanted}, found {_short(answer)}"


def states_number(answer: str, value: Decimal) -> str | None:
    """Check that the answer gives this number and no other."""
    found = stated_numbers(answer)
    if found == [value] and not _NEGATION.search(answer):
        return None
    wanted = measures.plain_number(value)
    if not found:
        return f"expected the number {wanted}, found none in {_short(answer)}"
    return f"expected the number {wanted} alone, found {_short(answer)}"


def named(answer: str, among: Sequence[str]) -> list[str]:
    """Return which of the values the answer names as whole words, whatever their case."""
    text = answer.translate(_TYPOGRAPHY).casefold()
    found = set()
    # The longest first, and taken out when found: "a fish" is no mention of "fish".
    for value in sorted(among, key=len, reverse=True):
        sought = value.translate(_TYPOGRAPHY).casefold()
        places = [p for p in _places(text, sought) if _bounded(text, p, p + len(sought))]
        if places:
            found.add(value)
        for place in reversed(places):
            text = f"{text[:place]}\0{text[place + len(sought) :]}"
    return [value for value in among if value in found]


def _bounded(text: str, start: int, end: int) -> bool:
    """Say whether neither a letter nor a digit touches the passage."""
    return not (start and text[start - 1].isalnum()) and not text[end : end + 1].isalnum()


def states_choice(answer: str, value: str, among: Sequence[str]) -> str | None:
    """Check that the answer names this one of the possible values and none of the others."""
    if named(answer, among) == [value] and not _NEGATION.search(answer.replace(value, "")):
        return None
    return f"expected {_short(value)} alone, found {_short(answer)}"


def states_list(answer: str, values: Sequence[str], caseless: bool = False) -> str | None:
    """Check that the answer lists exactly these values in this order, in whatever layout."""
    text, wanted = answer.translate(_TYPOGRAPHY), [_listed(value) for value in values]
    if caseless:
        text, wanted = text.casefold(), [value.casefold() for value in wanted]
    if not wanted or not all(wanted):
        return "expected a list, but a value in the check is empty"
    # The first value may also occur in the sentence that announces the list: try each place.
    if any(_list_at(text, place, wanted) for place in islice(_places(text, wanted[0]), 30)):
        return None
    return f"expected the list {_short(', '.join(values))}, found {_short(answer)}"


def _listed(value: str) -> str:
    return value.translate(_TYPOGRAPHY).strip(_WRAPPING)


def _places(text: str, value: str) -> Iterator[int]:
    place = text.find(value)
    while place >= 0:
        yield place
        place = text.find(value, place + max(len(value), 1))


def _list_at(text: str, place: int, wanted: Sequence[str]) -> bool:
    if not _LIST_START.fullmatch(text, 0, place):
        return False
    for count, value in enumerate(wanted):
        if count:
            gap = _BETWEEN.match(text, place)
            end = gap.end() if gap else place
            # A bullet or currency sign may be part of the value: give back what belongs to it.
            while end > place and not text.startswith(value, end):
                end -= 1
            if end == place:
                return False
            place = end
        if not text.startswith(value, place) or not _whole(text, place, place + len(value)):
            return False
        place += len(value)
    return _LIST_END.fullmatch(text, place) is not None


def _whole(text: str, start: int, end: int) -> bool:
    """Say whether the value is no part of a longer word or number."""
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


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return f'"{one_line[:77]}…"' if len(one_line) > 80 else f'"{one_line}"'
