"""GSM8K: exact match on the last number."""

from seqit.evaluate.metrics.base import MetricValue, Scorer
from seqit.evaluate.metrics.final_number import score as score_number
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy; numbers are parsed in English notation."""
    return score_number(answer, item, "en")


SCORER = Scorer("gsm8k", "accuracy: the last number is the item's", score)
