"""What the steps after an answer want to know of it, each measured once."""

import re
from decimal import Decimal
from functools import cached_property

from seqit.checks import measures, readings

_LABEL = re.compile(r"\(?[A-Za-z]\)?[.)]?|Sentence [A-Z]")
_CODE = re.compile(r"```|\A[ \t]|\n[ \t]+\S|[{}<>=_|\\]|https?:|\*\*")
_MARKUP = re.compile(r"```|(?m:^[ \t]*(?:[-*•#|>]|\d{1,3}[.)]))")
_PLAIN_WORDS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")


class Answer:
    """The text that a following step works on; `counted` says that it states a number we found."""

    def __init__(self, text: str, counted: bool = False) -> None:
        self.text = text
        self.counted = counted

    @cached_property
    def number(self) -> Decimal | None:
        """The number that the answer consists of."""
        if not self.counted:
            return measures.number(self.text) if len(self.text) < 16 else None
        found = readings.stated_numbers(self.text)
        return found[0] if len(found) == 1 else None

    @cached_property
    def words(self) -> int:
        """How many words; 0 for code, markup and scripts without spaces, which nobody counts."""
        if self.counted or not measures.spaced(self.text) or _CODE.search(self.text):
            return 0
        return len(measures.words(self.text))

    @cached_property
    def is_label(self) -> bool:
        """Say whether the answer only names an option, as in "(B)"."""
        return len(self.text) < 12 and _LABEL.fullmatch(self.text.strip()) is not None

    @cached_property
    def is_yes_no(self) -> bool:
        return self.text.strip().rstrip(".").casefold() in ("yes", "no")

    @cached_property
    def phrase(self) -> int:
        """How many words, where the answer is one line of plain words and no label; else 0."""
        text = self.text.strip()
        if len(text) > 80 or self.is_label or not _PLAIN_WORDS.fullmatch(text):
            return 0
        return self.words

    @cached_property
    def one_line(self) -> bool:
        return "\n" not in self.text.strip()

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of running prose that is not too long to quote from; else none."""
        if not self.one_line or not 4 <= self.words <= 250:
            return []
        return measures.clear_sentences(self.text)

    @cached_property
    def items(self) -> list[str]:
        """The items of a plain list, marked on lines or short between commas; else none."""
        if not 3 <= self.words <= 150:
            return []
        found = measures.items(self.text)
        if self.one_line:
            # "Yes, of course, I agree." has commas too, and is no list.
            listed = not self.text.rstrip().endswith(".") and all(i.count(" ") < 3 for i in found)
        else:
            listed = all(mark for mark, _ in measures.marked_lines(self.text))
        return found if listed and 3 <= len(found) <= 12 and max(map(len, found)) < 120 else []

    @cached_property
    def numbered_points(self) -> int:
        """How many points the one numbered list in the answer has; 0 without such a list."""
        if self.one_line or "```" in self.text:
            return 0
        marks = [mark for mark, _ in measures.marked_lines(self.text) if mark]
        counted = [f"{place}." for place in range(1, len(marks) + 1)]
        return len(marks) if len(marks) > 2 and marks == counted else 0

    @cached_property
    def paragraphs(self) -> int:
        """How many paragraphs of running text; 0 where lists or headings are among them."""
        if "\n\n" not in self.text or _MARKUP.search(self.text):
            return 0
        found = measures.paragraphs(self.text)
        prose = all("\n" not in part and part[-1] in ".!?" and len(part) > 60 for part in found)
        return len(found) if prose else 0
