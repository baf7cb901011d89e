"""Seq-Instruct: a teacher turns instructions into chains, iteration after iteration.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025, section 3. The teacher may be a rule library or a language model; what an operation,
a chain and a frozen record are is said here, once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from seqit.augment.teacher import Keep, Rewrite, Teacher
from seqit.backends.asking import Asking, Unanswered
from seqit.backends.model import Alone, Dispatch
from seqit.checks import record_problems
from seqit.records.account import Account, Row
from seqit.records.identity import content_id
from seqit.records.record import RECORD_KEYS, Lineage, Record

METHOD = "seq-instruct"


@dataclass(slots=True)
class _Way:
    """One row on its way through the iterations, as far as it has come."""

    row: Row
    operations: list[tuple[int, str]] = field(default_factory=list)  # (iteration, operation)


def augment(
    rows: Iterator[Row],
    account: Account,
    *,
    teacher: Teacher,
    dispatch: Dispatch | None = None,
    iterations: int = 1,
    seed: int = 0,
) -> Iterator[Row]:
    """Yield each row as it stands after so many iterations, in input order.

    An iteration builds on the last one's result, also on one that an earlier run wrote; a record
    that was kept is frozen for all later ones. Operations are counted by iteration in the account.
    A row whose iteration fails is rejected as it stood before it.
    """
    counts: dict[str, Counter[str]] = {}
    account.counts["operations"] = counts
    chaining = _Chaining(teacher, iterations, seed)
    for way, failure in (dispatch or Alone()).run(map(_Way, rows), chaining.run):
        for number, operation in way.operations:
            counts.setdefault(str(number), Counter())[operation] += 1
        if failure:
            account.fail(way.row, failure.stage, failure.reason, str(failure), **failure.evidence)
        else:
            yield way.row


@dataclass(frozen=True)
class _Chaining:
    """All iterations of one record."""

    teacher: Teacher
    iterations: int
    seed: int

    def run(self, way: _Way) -> Asking[None]:
        """Lead one row through its iterations; raises Unanswered."""
        for _ in range(self.iterations):
            parent: Record = way.row.value
            if "kept" in parent["lineage"]:
                return
            outcome = yield from self.teacher.rewrite(parent, self.seed)
            number = parent["lineage"]["iteration"] + 1
            if isinstance(outcome, Keep):
                record, operation = self._kept(parent, number), "keep"
            else:
                record, operation = self._chain(parent, number, outcome), outcome.operation
                if problems := record_problems(record):
                    step, problem = problems[0]
                    message = f"step {step + 1} of the new chain does not verify: {problem}"
                    raise Unanswered("check", "wrong-step", message, {"chain": record})
            way.row = way.row.changed(record)
            way.operations.append((number, operation))

    def _kept(self, parent: Record, number: int) -> Record:
        """Freeze a record; a chain keeps the operation and the iteration that made it."""
        lineage: Lineage = {**parent["lineage"]}
        if lineage["operation"] == "seed":
            lineage |= {"iteration": number, "operation": "keep", **self._origin()}
        return {**parent, "lineage": {**lineage, "kept": number}}

    def _chain(self, parent: Record, number: int, rewrite: Rewrite) -> Record:
        lineage: Lineage = {
            "root": parent["lineage"]["root"],
            "parent": parent["id"],
            "iteration": number,
            "operation": rewrite.operation,
            **self._origin(),
        }
        merged = {
            **parent,
            "instruction": rewrite.instruction,
            "output": rewrite.output,
            "steps": rewrite.steps,
            "lineage": lineage,
        }
        merged["id"] = content_id(merged)
        return cast(Record, {key: merged[key] for key in RECORD_KEYS if key in merged})

    def _origin(self) -> Lineage:
        return cast(
            Lineage,
            {
                "method": METHOD,
                "teacher": self.teacher.name,
                "prompt": self.teacher.prompt,
                "seed": self.seed,
            },
        )
