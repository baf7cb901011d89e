"""Constraints that a program verifies on the whole answer, in the manner of IFEval."""

from seqit.checks import verify
from seqit.evaluate.metrics.base import EMPTY, MetricValue, Scorer, Unscorable
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return step, 0 or 1 for each check of the item, and following, 1 where all hold.

    The checks must be literal: those of a chain, which follow from the answer before them, need
    the answer taken apart. Raises Unscorable for these, and where there is no check.
    """
    steps = item.get("steps", [])
    checks = [(place, step["check"]) for place, step in enumerate(steps, 1) if "check" in step]
    if not checks:
        raise Unscorable("no-check", "no step of the item has a check", "item.steps")
    if any("of" in check for _, check in checks):
        message = "a check depends on the answer before it; use seqit judge --judge builtin"
        raise Unscorable("check-of-a-chain", message, "item.steps")
    measures = []
    for place, check in checks:
        problem = verify(check, answer, ()) if answer else EMPTY
        evidence = {"check": check}
        value = float(problem is None)
        measures.append(MetricValue("step", value, problem or "", evidence, place, len(steps)))
    holds = all(measure.value for measure in measures)
    reason = "" if answer else EMPTY
    return [*measures, MetricValue("following", float(holds), reason)]


SCORER = Scorer("checks", "following and step: the item's literal checks", score, whole=True)
