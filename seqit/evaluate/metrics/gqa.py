"""GQA: the answer is the right one, word for word."""

from seqit.evaluate.metrics.base import EMPTY, MetricValue, Scorer, reference_of
from seqit.evaluate.metrics.vqa import normalize
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy: 1 where both are the same after VQA's normalisation; raises Unscorable."""
    reference = normalize(reference_of(item))
    if not answer:
        return [MetricValue("accuracy", 0.0, EMPTY)]
    same = float(normalize(answer) == reference)
    return [MetricValue("accuracy", same, "", {"found": answer[:200]})]


SCORER = Scorer("gqa", "accuracy: the one right answer, after VQA's normalisation", score)
