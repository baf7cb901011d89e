"""MGSM: exact match on the last number, in the number notation of the item's language."""

from seqit.evaluate.metrics.base import MetricValue, Scorer, language_of
from seqit.evaluate.metrics.final_number import score as score_number
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy; the language comes from the item's metadata or its file name."""
    return score_number(answer, item, language_of(item))


SCORER = Scorer("mgsm", "accuracy: the last number is the item's, in its language", score)
