"""Rules about chains: what augment did with a record, and whether its answers hold."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.checks import record_problems
from seqit.errors import UsageError
from seqit.filter.rule import OptionSpec, Rejection, Rule, whole_number
from seqit.records.record import Record


@dataclass
class FailingCheck(Rule):
    """Object to a chain whose answers do not hold; see seqit.checks.record_problems."""

    name: ClassVar[str] = "failing-check"
    explanation: ClassVar[str] = (
        "A step's answer does not pass its check, or does not stand in the output in its turn."
    )

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection that names every step that fails and why."""
        if "steps" not in record:
            return None
        problems = record_problems(record)
        if not problems:
            return None
        step, first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        evidence = {"steps": [{"step": index, "problem": text} for index, text in problems]}
        return Rejection("check-failed", f"steps[{step}]: {first}{more}", evidence)


@dataclass
class KeptUnchanged(Rule):
    """Object to a record that augment looked at and left alone."""

    name: ClassVar[str] = "keep"
    explanation: ClassVar[str] = "The operation is 'keep': augment left the record as it was."

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection where the last operation is keep."""
        if record["lineage"]["operation"] != "keep":
            return None
        return Rejection("kept", "augment left the record as it was", {})


@dataclass
class ChainLength(Rule):
    """Object to a chain with fewer or more steps than the limits given."""

    name: ClassVar[str] = "chain-length"
    explanation: ClassVar[str] = "The chain has fewer or more steps than the limits given."

    min_steps: Annotated[int, OptionSpec("fewest steps; no chain counts as 1", whole_number)] = 1
    max_steps: Annotated[int | None, OptionSpec("most steps", whole_number)] = None

    def __post_init__(self) -> None:
        if self.max_steps is None and self.min_steps <= 1:
            raise UsageError("rule 'chain-length' needs a limit, as in chain-length:max_steps=4")
        if self.max_steps is not None and self.min_steps > self.max_steps:
            raise UsageError(
                f"rule 'chain-length': min_steps={self.min_steps} is above "
                f"max_steps={self.max_steps}, so no record could pass"
            )

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the number of steps and the limit."""
        count = len(record.get("steps", ())) or 1
        if count < self.min_steps:
            return self._object("too-short", count, f"at least {self.min_steps}")
        if self.max_steps is not None and count > self.max_steps:
            return self._object("too-long", count, f"at most {self.max_steps}")
        return None

    def _object(self, reason: str, count: int, limit: str) -> Rejection:
        message = f"the chain has {count} steps; {limit} are allowed"
        return Rejection(reason, message, {"steps": count})


@dataclass
class IncompleteChain(Rule):
    """Object to a record that calls itself a chain and is none."""

    name: ClassVar[str] = "incomplete-chain"
    explanation: ClassVar[str] = (
        "The operation is decompose, prefix or suffix, and yet there are fewer than two steps."
    )

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the operation and the number of steps."""
        operation = record["lineage"]["operation"]
        if operation not in ("decompose", "prefix", "suffix"):
            return None
        count = len(record.get("steps", ()))
        if count >= 2:
            return None
        message = f"the operation is {operation!r}, which makes at least 2 steps; there are {count}"
        return Rejection("too-few-steps", message, {"operation": operation, "steps": count})
