"""Seq-Instruct: a teacher turns instructions into chains, one operation per iteration.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025, section 3. The teacher is a rule library or a language model. This module applies its
outcomes: it writes chains with their lineage, and marks kept records as final.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from seqit.augment.derive import RowState, rebuild, record_failure
from seqit.augment.seq_instruct.teacher import (
    CLASSIFICATION_KEY,
    Classification,
    KeepUnchanged,
    Rewrite,
    Teacher,
)
from seqit.checks import record_problems
from seqit.llm.client import CallRunner, NoModelRunner
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Lineage, Record
from seqit.records.run_stats import Row, RunStats

METHOD = "seq-instruct"
OPERATIONS = ("decompose", "prefix", "suffix", "keep")


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    teacher: Teacher,
    runner: CallRunner | None = None,
    iterations: int = 1,
    seed: int = 0,
    retry_kept: bool = False,
) -> Iterator[Row]:
    """Yield each row after `iterations` iterations, in input order.

    Each iteration starts from the previous one's result, which may come from an earlier run. A
    record that was kept is final: later iterations skip it, unless `retry_kept` is true and it
    was kept by an earlier run. The run statistics count the operations by iteration. If an
    iteration fails, the row fails with its content before that iteration.
    """
    counts: dict[str, Counter[str]] = {}
    stats.results["operations"] = counts
    chainer = _Chainer(teacher, iterations, seed, retry_kept)
    for state, failure in (runner or NoModelRunner()).run(map(RowState, rows), chainer.run):
        for iteration, operation in state.operations:
            counts.setdefault(str(iteration), Counter())[operation] += 1
        if failure:
            record_failure(stats, state.row, failure)
        else:
            yield state.row


def operation_shares(operations: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Return iteration → operation → share of all rows in per cent.

    Rows that were kept in an earlier iteration count as kept in the later ones, as in the paper's
    table. operations: the counts of `augment`, as in `stats.results["operations"]`.
    """
    shares: dict[str, dict[str, float]] = {}
    kept = 0
    for iteration in sorted(operations, key=int):
        counts = Counter(operations[iteration])
        counts["keep"] += kept
        kept = counts["keep"]
        total = sum(counts.values())
        shares[iteration] = {name: 100 * counts[name] / total for name in OPERATIONS}
    return shares


def format_shares(operations: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one line per iteration: ``iteration 1: decompose 24.5 %, prefix 51.2 %, …``."""
    return [
        f"iteration {iteration}: "
        + ", ".join(f"{name} {share:.1f} %" for name, share in shares.items())
        for iteration, shares in operation_shares(operations).items()
    ]


@dataclass(frozen=True)
class _Chainer:
    """Runs all iterations of one record."""

    teacher: Teacher
    iterations: int
    seed: int
    retry_kept: bool

    def run(self, state: RowState) -> ModelCall[None]:
        """Run all iterations of one row; raises CompletionFailed."""
        for index in range(self.iterations):
            parent: Record = state.row.value
            if "kept" in parent["lineage"]:
                if index or not self.retry_kept:
                    return
                parent = _reopened(parent)
            outcome = yield from self.teacher.rewrite(parent, self.seed)
            iteration = parent["lineage"]["iteration"] + 1
            if isinstance(outcome, Classification):
                record, operation = _with_classification(parent, outcome), outcome.operation
            elif isinstance(outcome, KeepUnchanged):
                record, operation = self._kept(parent, iteration, outcome), "keep"
            else:
                record, operation = self._chain(parent, iteration, outcome), outcome.operation
            state.row = state.row.with_value(record)
            state.operations.append((iteration, operation))
            if isinstance(outcome, Classification):
                return

    def _kept(self, parent: Record, iteration: int, keep: KeepUnchanged) -> Record:
        """Return the record marked as final; a chain keeps its operation and iteration."""
        lineage: Lineage = {**parent["lineage"]}
        if lineage["operation"] in ("seed", "regenerate"):  # not a chain
            lineage |= {"iteration": iteration, "operation": "keep", **self._origin()}
        lineage["kept"] = iteration
        if keep.output is None:
            return {**_without_classification(parent), "lineage": lineage}
        lineage |= {"parent": parent["id"], **self._origin()}
        steps = [{"instruction": step["instruction"]} for step in parent.get("steps", ())]
        changes = {"output": keep.output, "steps": steps, "lineage": lineage}
        return rebuild(_without_classification(parent), changes)

    def _chain(self, parent: Record, iteration: int, rewrite: Rewrite) -> Record:
        """Return the chain as a record; raises CompletionFailed if a step does not verify."""
        lineage: Lineage = {
            "root": parent["lineage"]["root"],
            "parent": parent["id"],
            "iteration": iteration,
            "operation": rewrite.operation,
            **self._origin(),
        }
        changes = {
            "instruction": rewrite.instruction,
            "output": rewrite.output,
            "steps": rewrite.steps,
            "lineage": lineage,
        }
        record = rebuild(_without_classification(parent), changes)
        if problems := record_problems(record):
            step, problem = problems[0]
            message = f"step {step + 1} of the new chain does not verify: {problem}"
            raise CompletionFailed("check", "wrong-step", message, {"chain": record})
        return record

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


def _with_classification(parent: Record, classification: Classification) -> Record:
    """Return the record with the classification in its metadata, and its content unchanged."""
    value = {"option": classification.operation, "thought": classification.thought}
    return {**parent, "metadata": {**parent.get("metadata", {}), CLASSIFICATION_KEY: value}}


def _without_classification(parent: Record) -> Record:
    """Return the record without the classification, which has been applied."""
    metadata: dict[str, Any] = {**parent.get("metadata", {})}
    if CLASSIFICATION_KEY not in metadata:
        return parent
    del metadata[CLASSIFICATION_KEY]
    rest: dict[str, Any] = {key: value for key, value in parent.items() if key != "metadata"}
    return cast(Record, rest | ({"metadata": metadata} if metadata else {}))


def _reopened(record: Record) -> Record:
    lineage = {key: value for key, value in record["lineage"].items() if key != "kept"}
    return {**record, "lineage": cast(Lineage, lineage)}
