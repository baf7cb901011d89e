"""What a scorer is: a function from an answer and its item to measures."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.record import Record
from seqit.records.text.reasoning import without_reasoning

EMPTY = "empty"
"""The reason of every answer without a text: it is wrong."""


class Unscorable(RowError):
    """The item cannot be scored, whatever the answer; `reason` is for the account."""

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.reason = reason


class MetricValue(NamedTuple):
    """One number about one answer; `position` and `chain` where it is about a step."""

    metric: str
    value: float
    reason: str = ""
    evidence: Mapping[str, Any] = {}
    position: int = 0
    chain: int = 0


class Scorer(NamedTuple):
    """One benchmark's measures of an answer; `score` raises Unscorable.

    The answer is stripped, and of a chain that labels its result it is this alone, unless the
    scorer looks at the `whole`.
    """

    name: str
    description: str
    score: Callable[[str, Record], list[MetricValue]]
    whole: bool = False


def answer_in(output: str) -> str:
    """Return what a model answered: without the reasoning before it, empty where that is all."""
    return without_reasoning(output) or ""


def reference_of(item: Record) -> str:
    """Return the item's right answer, of a chain that of its last step; raises Unscorable."""
    output = item["steps"][-1].get("output", "") if _labels_result(item) else item["output"]
    if reference := output.strip():
        return reference
    raise Unscorable("no-reference", "the item has no right answer to compare with", "item.output")


def reference_texts(item: Record) -> list[str]:
    """Return the texts that are right: those of `metadata.answers`, else the item's answer.

    The list holds texts, or objects with a `text` (SQuAD) or an `answer` (VQA). It is that of the
    seed: where the item's own answer is none of them, as in another language, they do not count.
    Raises Unscorable.
    """
    listed = item.get("metadata", {}).get("answers")
    if not listed:
        return [reference_of(item)]
    texts = [_text(each) for each in listed] if isinstance(listed, list) else [None]
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
    """Return the code of the language in which the item is answered; empty where nothing says it.

    That is what a translation has for its answer, or `metadata.language`, or a part of the name
    of its source, as in mgsm_de.tsv.
    """
    metadata = item.get("metadata", {})
    translation = metadata.get("translation")
    answer = translation.get("answer") if isinstance(translation, dict) else None
    for known in (answer, metadata.get("language")):
        if isinstance(known, str) and known:
            return known.casefold()[:2]
    found = _LANGUAGE.findall(item.get("source", {}).get("name", ""))
    return found[-1] if found else ""


def labelled_answer(text: str, item: Record) -> str:
    """Return what a chain's answer gives as its result; any other answer as it is.

    A chain that translates or describes first must say which part is the result: it is what
    follows the last label "Answer:" at the beginning of a line. Empty where there is none, so
    that a translation which holds the words of the answer is no answer.
    """
    if not _labels_result(item):
        return text
    labels = list(_LABEL.finditer(text))
    return text[labels[-1].end() :] if labels else ""


def _labels_result(item: Record) -> bool:
    return item["lineage"]["operation"] in _CHAINS and len(item.get("steps", ())) > 1


_CHAINS = ("translate", "caption")
_LABEL = re.compile(r"^[ \t]*(?:\*\*|__)?(?:Answer(?:\*\*|__)?:|Answer:(?:\*\*|__))", re.M | re.I)
