"""Questions about images: image, question, one answer or several; captions are kept."""

from collections import Counter
from typing import Any

from seqit.errors import RowError
from seqit.records.formats.base import (
    Fields,
    Format,
    require_object,
    required_text,
    text_column,
    with_metadata,
)
from seqit.records.validation import describe

_KNOWN = frozenset(("image", "question", "answer"))


def matches(row: Any) -> bool:
    """Return whether the row has an image and a question."""
    return isinstance(row, dict) and "image" in row and "question" in row


def to_records(row: Any) -> list[Fields]:
    """Return the row's record; of several answers the output is the most frequent one.

    If several are equally frequent, it is the first of them. All stay in `metadata.answers`.
    """
    row = require_object(row, "'image', 'question' and 'answer'")
    fields = {
        "instruction": required_text(row, "question"),
        "input": "",
        "output": text_column(row, "answer") or _most_frequent(row.get("answers")),
        "images": [_image(row)],
    }
    return [with_metadata(fields, row, _KNOWN)]


def _image(row: dict[str, Any]) -> str:
    image = row.get("image")
    if not isinstance(image, str) or not image:
        message = f"expected the path or URL of an image, found {describe(image)}"
        raise RowError(f"{message}; save images inside the row as files", "image")
    return image


def _most_frequent(answers: Any) -> str:
    if answers is None:
        return ""
    if not isinstance(answers, list):
        raise RowError(f"expected a list of answers, found {describe(answers)}", "answers")
    counts = Counter(_answer(item, f"answers[{n}]") for n, item in enumerate(answers))
    return max(counts, key=counts.__getitem__, default="")


def _answer(item: Any, field: str) -> str:
    answer = item.get("answer") if isinstance(item, dict) else item  # VQAv2: {"answer", …}
    if not isinstance(answer, str):
        raise RowError(f"expected an answer's text, found {describe(answer)}", field)
    return answer


FORMAT = Format(
    "vqa",
    "image, question, answer or answers; optional: caption, captions and others",
    matches,
    to_records,
)
