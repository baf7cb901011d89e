"""GSM8K: exact match on the last number."""

from seqit.evaluate.metrics.base import MetricValue, Scorer
from seqit.evaluate.metrics.result import score as score_number
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy; numbers are read as English writes them."""
    return score_number(answer, item, "en")


SCORER = Scorer("gsm8k", "accuracy: the last number is the item's", score)
