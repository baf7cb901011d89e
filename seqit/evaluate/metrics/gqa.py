"""GQA: exact match of the normalized answer."""

from seqit.evaluate.metrics.base import EMPTY, MetricValue, Scorer, reference_of
from seqit.evaluate.metrics.vqa import normalize
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return accuracy: 1 if both are equal after VQA's normalization; raises Unscorable."""
    reference = normalize(reference_of(item))
    if not answer:
        return [MetricValue("accuracy", 0.0, EMPTY)]
    equal = float(normalize(answer) == reference)
    return [MetricValue("accuracy", equal, "", {"found": answer[:200]})]


SCORER = Scorer("gqa", "accuracy: the one right answer, after VQA's normalization", score)
