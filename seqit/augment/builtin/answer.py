"""The properties of an answer that decide which suffix steps apply, each computed once."""

import re
from decimal import Decimal
from functools import cached_property

from seqit.checks import matching, text_units

_LABEL = re.compile(r"\(?[A-Za-z]\)?[.)]?|Sentence [A-Z]")
_CODE = re.compile(r"```|\A[ \t]|\n[ \t]+\S|[{}<>=_|\\]|https?:|\*\*")
_MARKUP = re.compile(r"```|(?m:^[ \t]*(?:[-*•#|>]|\d{1,3}[.)]))")
_PLAIN_WORDS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")


class Answer:
    """The text that a suffix step works on.

    `states_number` is true if it is the answer of a library step whose result is a number.
    """

    def __init__(self, text: str, states_number: bool = False) -> None:
        self.text = text
        self.states_number = states_number

    @cached_property
    def number(self) -> Decimal | None:
        """The number that the answer consists of."""
        if not self.states_number:
            return text_units.parse_number(self.text) if len(self.text) < 16 else None
        found = matching.extract_numbers(self.text)
        return found[0] if len(found) == 1 else None

    @cached_property
    def word_count(self) -> int:
        """Number of words; 0 for number steps, and for code and scripts without clear words."""
        if self.states_number or not text_units.is_space_separated(self.text):
            return 0
        return 0 if _CODE.search(self.text) else len(text_units.words(self.text))

    @cached_property
    def is_label(self) -> bool:
        """Whether the answer is only the label of an option, as in "(B)"."""
        return len(self.text) < 12 and _LABEL.fullmatch(self.text.strip()) is not None

    @cached_property
    def is_yes_no(self) -> bool:
        return self.text.strip().rstrip(".").casefold() in ("yes", "no")

    @cached_property
    def phrase_length(self) -> int:
        """Number of words if the answer is one line of plain words and not a label; else 0."""
        text = self.text.strip()
        if len(text) > 80 or self.is_label or not _PLAIN_WORDS.fullmatch(text):
            return 0
        return self.word_count

    @cached_property
    def is_one_line(self) -> bool:
        return "\n" not in self.text.strip()

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences, if the answer is prose that is short enough to quote from; else []."""
        if not self.is_one_line or not 4 <= self.word_count <= 250:
            return []
        return text_units.clear_sentences(self.text)

    @cached_property
    def items(self) -> list[str]:
        """The items, if the answer is a plain list: marked lines or short comma parts; else []."""
        if not 3 <= self.word_count <= 150:
            return []
        found = text_units.items(self.text)
        if self.is_one_line:
            # "Yes, of course, I agree." has commas too, but is not a list.
            is_list = not self.text.rstrip().endswith(".") and all(i.count(" ") < 3 for i in found)
        else:
            is_list = all(mark for mark, _ in text_units.marked_lines(self.text))
        return found if is_list and 3 <= len(found) <= 12 and max(map(len, found)) < 120 else []

    @cached_property
    def numbered_point_count(self) -> int:
        """Number of points of the only numbered list in the answer; 0 without such a list."""
        if self.is_one_line or "```" in self.text:
            return 0
        marks = [mark for mark, _ in text_units.marked_lines(self.text) if mark]
        expected = [f"{number}." for number in range(1, len(marks) + 1)]
        return len(marks) if len(marks) > 2 and marks == expected else 0

    @cached_property
    def paragraph_count(self) -> int:
        """Number of paragraphs of prose; 0 if there are lists or headings among them."""
        if "\n\n" not in self.text or _MARKUP.search(self.text):
            return 0
        found = text_units.paragraphs(self.text)
        is_prose = all("\n" not in part and part[-1] in ".!?" and len(part) > 60 for part in found)
        return len(found) if is_prose else 0
