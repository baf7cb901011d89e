"""Seq-Instruct: a teacher turns instructions into chains, iteration after iteration.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025, section 3. The teacher may be a rule library or a language model; what an operation,
a chain and a frozen record are is said here, once.
"""

from collections import Counter, deque
from collections.abc import Iterator
from typing import cast

from seqit.augment.teacher import Failure, Keep, Outcome, Rewrite, Teacher
from seqit.checks import record_problems
from seqit.records.account import Account, Row
from seqit.records.identity import content_id
from seqit.records.record import RECORD_KEYS, Lineage, Record

METHOD = "seq-instruct"


def augment(
    rows: Iterator[Row], account: Account, *, teacher: Teacher, iterations: int = 1, seed: int = 0
) -> Iterator[Row]:
    """Yield each row as it stands after so many iterations, in input order.

    An iteration builds on the last one's result, also on one that an earlier run wrote; a record
    that was kept is frozen for all later ones. Operations are counted by iteration in the account.
    """
    counts: dict[str, Counter[str]] = {}
    account.counts["operations"] = counts
    for _ in range(iterations):
        rows = _Iteration(account, teacher, seed, counts).run(rows)
    return rows


class _Iteration:
    """One pass of the teacher over the rows."""

    def __init__(
        self, account: Account, teacher: Teacher, seed: int, counts: dict[str, Counter[str]]
    ) -> None:
        self._account = account
        self._teacher = teacher
        self._seed = seed
        self._counts = counts
        self._waiting: deque[Row] = deque()  # asked and frozen rows, in input order

    def run(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows in their order; frozen ones wait for those asked before them."""
        for outcome in self._teacher.rewrite(self._questions(rows), self._seed):
            yield from self._frozen()
            yield from self._settle(self._waiting.popleft(), outcome)
            yield from self._frozen()
        yield from self._frozen()

    def _questions(self, rows: Iterator[Row]) -> Iterator[Record]:
        for row in rows:
            self._waiting.append(row)
            if not _is_frozen(row.value):
                yield row.value

    def _frozen(self) -> Iterator[Row]:
        while self._waiting and _is_frozen(self._waiting[0].value):
            yield self._waiting.popleft()

    def _settle(self, row: Row, outcome: Outcome) -> Iterator[Row]:
        if isinstance(outcome, Failure):
            self._account.fail(
                row, outcome.stage, outcome.reason, outcome.message, **outcome.evidence
            )
            return
        parent: Record = row.value
        number = parent["lineage"]["iteration"] + 1
        if isinstance(outcome, Keep):
            record, operation = self._kept(parent, number), "keep"
        else:
            record, operation = self._chain(parent, number, outcome), outcome.operation
            if problems := record_problems(record):
                step, problem = problems[0]
                message = f"step {step + 1} of the new chain does not verify: {problem}"
                self._account.fail(row, "check", "wrong-step", message, chain=record)
                return
        self._counts.setdefault(str(number), Counter())[operation] += 1
        yield row.changed(record)

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
                "teacher": self._teacher.name,
                "prompt": self._teacher.prompt,
                "seed": self._seed,
            },
        )


def _is_frozen(record: Record) -> bool:
    return "kept" in record["lineage"]
