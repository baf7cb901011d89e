"""The rule about the scores of a record, which are looked up by its id."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from seqit.filter.rule import Rejection, Rule
from seqit.records.record import Record

ScoreLookup = Callable[[str], tuple[bool | None, dict[str, Any]] | None]
"""Record id → whether the expression is true (None: NULL) and the scores; None without scores."""


@dataclass
class ScoreRule(Rule):
    """Reject a record for whose scores an SQL expression is false or NULL."""

    name: ClassVar[str] = "scores"
    explanation: ClassVar[str] = "The expression of --keep is false for the record's scores."

    expression: str
    look_up: ScoreLookup

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the scores as evidence."""
        found = self.look_up(record["id"])
        if found is None:
            return Rejection("no-score", "no score file has a row with the id of this record", {})
        holds, scores = found
        if holds:
            return None
        evidence = {"keep": self.expression, "scores": scores}
        if holds is None:
            missing = [name for name, value in scores.items() if value is None]
            why = f"the record has no value of {', '.join(missing)}" if missing else "it is NULL"
            return Rejection("unknown", f"{self.expression} is unknown: {why}", evidence)
        return Rejection("not-kept", f"{self.expression} does not hold", evidence)

    def __str__(self) -> str:
        """Return the rule with its expression."""
        return f"{self.name}:{self.expression}"
