"""Constraints that a program verifies on the whole answer, as IFEval does."""

from seqit.checks import verify
from seqit.evaluate.metrics.base import EMPTY, MetricValue, Scorer, Unscorable
from seqit.records.record import Record


def score(answer: str, item: Record) -> list[MetricValue]:
    """Return step, 0 or 1 for each check of the item, and following, 1 if all of them pass.

    The checks must be literal. A check that depends on the previous step's answer needs the
    answer split into steps: it raises Unscorable, as does an item without checks.
    """
    steps = item.get("steps", [])
    checks = [
        (position, step["check"]) for position, step in enumerate(steps, 1) if "check" in step
    ]
    if not checks:
        raise Unscorable("no-check", "no step of the item has a check", "item.steps")
    if any("of" in check for _, check in checks):
        message = "a check depends on the answer before it; use seqit judge --judge builtin"
        raise Unscorable("check-of-a-chain", message, "item.steps")
    values = []
    for position, check in checks:
        problem = verify(check, answer, ()) if answer else EMPTY
        evidence = {"check": check}
        value = float(problem is None)
        values.append(MetricValue("step", value, problem or "", evidence, position, len(steps)))
    followed = all(step.value for step in values)
    reason = "" if answer else EMPTY
    return [*values, MetricValue("following", float(followed), reason)]


SCORER = Scorer("checks", "following and step: the item's literal checks", score, whole=True)
