"""VQA accuracy: how many of ten people gave the same answer, by the official formula."""

import re

from seqit.evaluate.metrics.base import (
    EMPTY,
    MetricValue,
    Scorer,
    Unscorable,
    reference_texts,
)
from seqit.evaluate.metrics.vqa_words import ARTICLES, CONTRACTIONS, NUMBERS
from seqit.records.record import Record

MIN_ANSWERS = 4  # one is left out, and agreement with three others is the full score

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_POINT = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_MAX_POINTS = 32  # the official tool removes no more full stops, by mistake


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy, from 0 to 1 in steps of tenths of thirds; raises Unscorable."""
    people = reference_texts(item)
    if len(people) < MIN_ANSWERS:
        message = f"VQA's accuracy needs the answers of {MIN_ANSWERS} people or more (of ten)"
        raise Unscorable("too-few-answers", message, "item.metadata.answers")
    if not answer:
        return [MetricValue("accuracy", 0.0, EMPTY)]
    return [MetricValue("accuracy", accuracy(answer, people), "", {"found": answer[:200]})]


def accuracy(prediction: str, people: list[str]) -> float:
    """Return the mean over leave-one-out sets of min(1, matching answers / 3).

    If all people gave the same answer, the answers are compared without normalization.
    """
    prediction, *answers = map(_one_line, (prediction, *people))
    if len(set(answers)) > 1:
        prediction, *answers = map(normalize, (prediction, *answers))
    matches = answers.count(prediction) if prediction else 0
    shares = [min(1.0, (matches - (answer == prediction)) / 3) for answer in answers]
    return sum(shares) / len(shares)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalize(text: str) -> str:
    """Return the text without punctuation and articles, with digits and restored apostrophes."""
    words = (NUMBERS.get(word, word) for word in _without_punctuation(text).lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    bare = text
    has_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        is_outer = f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if is_outer or has_number else " ")
    return _POINT.sub("", bare, count=_MAX_POINTS)


SCORER = Scorer("vqa", "accuracy over the answers of ten people, as in VQAv2", score)
