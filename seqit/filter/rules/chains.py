"""Rules about chains: the operation of augment, the number of steps, and the checks of answers."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.checks import record_problems
from seqit.errors import UsageError
from seqit.filter.rule import OptionSpec, Rejection, Rule, whole_number
from seqit.records.record import Record


@dataclass
class FailingCheck(Rule):
    """Reject a chain whose answers fail their checks; see seqit.checks.record_problems."""

    name: ClassVar[str] = "failing-check"
    explanation: ClassVar[str] = (
        "A step's answer fails its check, or the output does not contain it in order."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with every failing step and its problem."""
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
    """Reject a record that augment kept unchanged."""

    name: ClassVar[str] = "keep"
    explanation: ClassVar[str] = "The operation is 'keep': augment left the record unchanged."

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection if the last operation is keep."""
        if record["lineage"]["operation"] != "keep":
            return None
        return Rejection("kept", "augment left the record as it was", {})


@dataclass
class ChainLength(Rule):
    """Reject a chain with fewer or more steps than the limits."""

    name: ClassVar[str] = "chain-length"
    explanation: ClassVar[str] = "The chain has fewer or more steps than the limits."

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

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the number of steps and the limit."""
        count = len(record.get("steps", ())) or 1
        if count < self.min_steps:
            return self._reject("too-short", count, f"at least {self.min_steps}")
        if self.max_steps is not None and count > self.max_steps:
            return self._reject("too-long", count, f"at most {self.max_steps}")
        return None

    def _reject(self, reason: str, count: int, limit: str) -> Rejection:
        message = f"the chain has {count} steps; {limit} are allowed"
        return Rejection(reason, message, {"steps": count})


@dataclass
class IncompleteChain(Rule):
    """Reject a record whose operation makes chains, but which has fewer than two steps."""

    name: ClassVar[str] = "incomplete-chain"
    explanation: ClassVar[str] = (
        "The operation is decompose, prefix or suffix, but there are fewer than two steps."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the operation and the number of steps."""
        operation = record["lineage"]["operation"]
        if operation not in ("decompose", "prefix", "suffix"):
            return None
        count = len(record.get("steps", ()))
        if count >= 2:
            return None
        message = f"the operation is {operation!r}, which makes at least 2 steps; there are {count}"
        return Rejection("too-few-steps", message, {"operation": operation, "steps": count})
