"""The interface of a scorer: a function from an answer and its item to metric values."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.record import Record
from seqit.records.text.reasoning import strip_reasoning

EMPTY = "empty"
"""The reason code of answers without text; they count as wrong."""


class Unscorable(RowError):
    """Raised when an item cannot be scored, whatever the answer; `reason` is the reject reason."""

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.reason = reason


class MetricValue(NamedTuple):
    """One metric of one answer; `position` and `chain` are set if it is about a step."""

    metric: str
    value: float
    reason: str = ""
    evidence: Mapping[str, Any] = {}
    position: int = 0
    chain: int = 0


class Scorer(NamedTuple):
    """The metrics of one benchmark; `score` raises Unscorable.

    `score` gets the stripped answer. If a chain labels its final answer, it gets only that part,
    unless `whole` is set.
    """

    name: str
    description: str
    score: Callable[[str, Record], list[MetricValue]]
    whole: bool = False


def answer_text(output: str) -> str:
    """Return the answer without the reasoning before it; empty if there is nothing after it."""
    return strip_reasoning(output) or ""


def reference_of(item: Record) -> str:
    """Return the item's reference answer, for a chain that of its last step; raises Unscorable."""
    output = item["steps"][-1].get("output", "") if _labels_result(item) else item["output"]
    if reference := output.strip():
        return reference
    raise Unscorable("no-reference", "the item has no right answer to compare with", "item.output")


def reference_texts(item: Record) -> list[str]:
    """Return the reference answers: those of `metadata.answers`, else the item's answer.

    The list has texts, or objects with a `text` (SQuAD) or an `answer` (VQA). It comes from the
    seed row: if a translated item's own answer is not among them, only that answer counts. Raises
    Unscorable.
    """
    listed = item.get("metadata", {}).get("answers")
    if not listed:
        return [reference_of(item)]
    texts = [_text(value) for value in listed] if isinstance(listed, list) else [None]
    found = [text for text in texts if text is not None]
    if len(found) < len(texts):
        message = "expected a list of texts, or of objects with a 'text' or an 'answer'"
        raise Unscorable("no-reference", message, "item.metadata.answers")
    if item["lineage"]["operation"] == "translate" and (own := reference_of(item)) not in found:
        return [own]
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("text", value.get("answer"))
    return value if isinstance(value, str) else None


_LANGUAGE = re.compile(r"[._-]([a-z]{2})(?=[._-]|$)")


def language_of(item: Record) -> str:
    """Return the two-letter code of the language of the item's answer; empty if unknown.

    It comes from `metadata.translation.answer`, `metadata.language`, or the name of the source
    file, as in mgsm_de.tsv.
    """
    metadata = item.get("metadata", {})
    translation = metadata.get("translation")
    answer = translation.get("answer") if isinstance(translation, dict) else None
    for language in (answer, metadata.get("language")):
        if isinstance(language, str) and language:
            return language.casefold()[:2]
    found = _LANGUAGE.findall(item.get("source", {}).get("name", ""))
    return found[-1] if found else ""


def labelled_answer(text: str, item: Record) -> str:
    """Return the final answer of a chain that labels it; any other answer unchanged.

    A chain that translates or describes first must label its final answer: it is the text after
    the last "Answer:" at the beginning of a line. Empty if there is no label, so that a
    translation that contains the words of the answer does not count.
    """
    if not _labels_result(item):
        return text
    labels = list(_LABEL.finditer(text))
    return text[labels[-1].end() :] if labels else ""


def _labels_result(item: Record) -> bool:
    return item["lineage"]["operation"] in _LABELLED_OPERATIONS and len(item.get("steps", ())) > 1


_LABELLED_OPERATIONS = ("translate", "caption")
_LABEL = re.compile(r"^[ \t]*(?:\*\*|__)?(?:Answer(?:\*\*|__)?:|Answer:(?:\*\*|__))", re.M | re.I)
