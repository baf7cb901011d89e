"""A rule about scores that others gave to a record: what they say is looked up by its id."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from seqit.filter.rule import Rejection, Rule
from seqit.records.record import Record

Find = Callable[[str], tuple[bool | None, dict[str, Any]] | None]
"""Record id → whether the expression holds (None: unknown) and the scores; None without scores."""


@dataclass
class Scores(Rule):
    """Object to a record for whose scores an expression does not hold, or cannot be told."""

    name: ClassVar[str] = "scores"
    explanation: ClassVar[str] = "The expression of --keep does not hold for the record's scores."

    expression: str
    find: Find

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the scores as evidence."""
        found = self.find(record["id"])
        if found is None:
            return Rejection("no-score", "no score file has a row with the id of this record", {})
        verdict, scores = found
        if verdict:
            return None
        evidence = {"keep": self.expression, "scores": scores}
        if verdict is None:
            lacking = [name for name, value in scores.items() if value is None]
            why = f"the record has no value of {', '.join(lacking)}" if lacking else "it is NULL"
            return Rejection("unknown", f"{self.expression} cannot be told: {why}", evidence)
        return Rejection("not-kept", f"{self.expression} does not hold", evidence)

    def __str__(self) -> str:
        """Return the rule with its expression."""
        return f"{self.name}:{self.expression}"
