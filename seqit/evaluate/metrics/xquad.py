"""Exact match and F1 of SQuAD, for XQuAD in every language, and MLQA's variants of both."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable

from seqit.evaluate.metrics.base import (
    EMPTY,
    MetricValue,
    Scorer,
    language_of,
    reference_texts,
)
from seqit.records.record import Record

Normalize = Callable[[str], list[str]]
"""Maps a text to the tokens that are compared."""

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "ar": r"\sال^|ال",
}
_MLQA_LANGUAGES = frozenset((*_ARTICLES, "hi", "zh"))
_HAN = re.compile("[\u4e00-\u9fa5]")


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return em and f1 as in the official script, the best over the reference answers.

    em_mlqa and f1_mlqa are added for the languages of MLQA except English. Raises Unscorable if
    the item has no answer.
    """
    references = reference_texts(item)
    language = language_of(item)
    values = _em_and_f1(answer, references, squad_tokens, "")
    if language in _MLQA_LANGUAGES and language != "en":
        values += _em_and_f1(answer, references, lambda text: mlqa_tokens(text, language), "_mlqa")
    return values if answer else [MetricValue(value.metric, 0.0, EMPTY) for value in values]


def _em_and_f1(
    prediction: str, references: list[str], normalize: Normalize, suffix: str
) -> list[MetricValue]:
    em = max(exact_match(prediction, reference, normalize) for reference in references)
    overlap = max(f1(prediction, reference, normalize) for reference in references)
    evidence = {"found": prediction[:200]}
    return [
        MetricValue(f"em{suffix}", em, "", evidence),
        MetricValue(f"f1{suffix}", overlap, "", evidence),
    ]


def squad_tokens(text: str) -> list[str]:
    """Return the lowercased words, without ASCII punctuation and English articles."""
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_ASCII_PUNCTUATION)).split()


def mlqa_tokens(text: str, language: str) -> list[str]:
    """Return the tokens as MLQA does: each Chinese character, else words without articles."""
    bare = "".join(char for char in text.lower() if not _is_punctuation(char))
    if language == "zh":
        return _HAN.sub(lambda match: f" {match[0]} ", bare).split()
    if language in _ARTICLES:
        bare = re.sub(_ARTICLES[language], " ", bare)
    return bare.split()


def _is_punctuation(char: str) -> bool:
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def exact_match(prediction: str, reference: str, normalize: Normalize = squad_tokens) -> float:
    """Return 1 if both have the same tokens and the prediction is not blank, else 0."""
    return float(bool(prediction.strip()) and normalize(prediction) == normalize(reference))


def f1(prediction: str, reference: str, normalize: Normalize = squad_tokens) -> float:
    """Return the harmonic mean of precision and recall over the tokens as multisets."""
    predicted, expected = normalize(prediction), normalize(reference)
    common = (Counter(predicted) & Counter(expected)).total()
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(expected)
    return 2 * precision * recall / (precision + recall)


SCORER = Scorer("xquad", "em and f1 of SQuAD v1.1; em_mlqa and f1_mlqa by language", score)
