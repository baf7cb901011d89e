"""MGSM: exact match on the last number, as the item's language writes numbers."""

from seqit.evaluate.metrics.base import MetricValue, Scorer, language_of
from seqit.evaluate.metrics.result import score as score_number
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy; the language is the item's, told by its metadata or its file's name."""
    return score_number(answer, item, language_of(item))


SCORER = Scorer("mgsm", "accuracy: the last number is the item's, in its language", score)
