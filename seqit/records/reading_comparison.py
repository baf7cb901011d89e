"""Two readings of one text: how they differ, how often, and the first of them to look at."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seqit.records.text.quotes import bare, drop_quotes
from seqit.records.validation import shorten

MOST_SHOWN = 20
_SHOWN_LENGTH = 200


@dataclass(frozen=True, slots=True)
class ReadingDifference:
    """A text that two readers read differently; None stands for "cannot be read".

    Kinds: "unreadable" (only ours refuses), "unread" (only theirs does), "form" (quotes around it
    or white space), "content".
    """

    kind: Literal["unreadable", "unread", "form", "content"]
    ours: str | None
    theirs: str | None
    reason: str = ""  # why ours refuses it


def reading_difference(
    ours: str | None, theirs: str | None, reason: str = ""
) -> ReadingDifference | None:
    """Return how two readings differ, if they do; `reason` says why there is none of ours."""
    if ours == theirs:
        return None
    if ours is None:
        return ReadingDifference("unreadable", None, theirs, reason)
    if theirs is None:
        return ReadingDifference("unread", ours, None)
    return ReadingDifference("form" if _plain(ours) == _plain(theirs) else "content", ours, theirs)


def _plain(text: str) -> str:
    return " ".join(drop_quotes(bare(text)).split())


class ReadingComparison:
    """Counts how two readers read the same texts.

    `counts` is for the account: by what was read, how many both read alike ("same") and how many
    otherwise, by kind of ReadingDifference; `differences` holds the first twenty, their texts shortened.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {"differences": []}

    def notice(
        self, reading: str, reading_difference: ReadingDifference | None, **place: Any
    ) -> None:
        """Count a text that was read, for example an "instruction"; `place` says where it was."""
        kind = reading_difference.kind if reading_difference else "same"
        self.counts.setdefault(reading, Counter())[kind] += 1
        shown = self.counts["differences"]
        if reading_difference and len(shown) < MOST_SHOWN:
            texts = {
                name: text if text is None else shorten(text, _SHOWN_LENGTH)
                for name, text in asdict(reading_difference).items()
            }
            shown.append({"reading": reading, **place, **texts})
