"""Comparison of two parsers of the same texts: how they differ, how often, and first examples."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seqit.records.text.quotes import strip_invisible, strip_quotes
from seqit.records.validation import shorten

MAX_DIFFERENCES = 20
_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class ReadingDifference:
    """A text that two parsers read differently; None stands for "cannot be parsed".

    Kinds: "unreadable" (only our parser refuses it), "unread" (only theirs does), "form" (quotes
    around it or white space), "content".
    """

    kind: Literal["unreadable", "unread", "form", "content"]
    ours: str | None
    theirs: str | None
    reason: str = ""  # why our parser refuses it


def reading_difference(
    ours: str | None, theirs: str | None, reason: str = ""
) -> ReadingDifference | None:
    """Return how two readings differ, None if they are equal; `reason` says why `ours` is None."""
    if ours == theirs:
        return None
    if ours is None:
        return ReadingDifference("unreadable", None, theirs, reason)
    if theirs is None:
        return ReadingDifference("unread", ours, None)
    same_text = _normalized(ours) == _normalized(theirs)
    return ReadingDifference("form" if same_text else "content", ours, theirs)


def _normalized(text: str) -> str:
    return " ".join(strip_quotes(strip_invisible(text)).split())


class ReadingComparison:
    """Counts how two parsers read the same texts.

    `summary` goes into the run's results: for each kind of text, how many were read alike
    ("same") and how many were not, by kind of ReadingDifference; `differences` has the first
    twenty, with shortened texts.
    """

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {"differences": []}

    def add(self, reading: str, difference: ReadingDifference | None, **place: Any) -> None:
        """Count a text of the kind `reading`, such as "instruction"; `place` locates it."""
        outcome = difference.kind if difference else "same"
        self.summary.setdefault(reading, Counter())[outcome] += 1
        examples = self.summary["differences"]
        if difference and len(examples) < MAX_DIFFERENCES:
            texts = {
                name: text if text is None else shorten(text, _MAX_LENGTH)
                for name, text in asdict(difference).items()
            }
            examples.append({"reading": reading, **place, **texts})
