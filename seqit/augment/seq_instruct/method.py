"""Seq-Instruct: a teacher turns instructions into chains, iteration after iteration.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025, section 3. The teacher may be a rule library or a language model; what an operation,
a chain and a frozen record are is said here, once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from seqit.augment.derive import rebuild, record_failure
from seqit.augment.seq_instruct.teacher import (
    CLASSIFIED,
    Classified,
    KeepUnchanged,
    Rewrite,
    Teacher,
)
from seqit.checks import record_problems
from seqit.llm.client import CallRunner, WithoutModel
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Lineage, Record
from seqit.records.run_stats import Row, RunStats

METHOD = "seq-instruct"
OPERATIONS = ("decompose", "prefix", "suffix", "keep")


@dataclass(slots=True)
class _ChainedRow:
    """One row on its way through the iterations, as far as it has come."""

    row: Row
    operations: list[tuple[int, str]] = field(default_factory=list)  # (iteration, operation)


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    teacher: Teacher,
    runner: CallRunner | None = None,
    iterations: int = 1,
    seed: int = 0,
    thaw: bool = False,
) -> Iterator[Row]:
    """Yield each row as it stands after so many iterations, in input order.

    An iteration builds on the last one's result, also on one that an earlier run wrote; a record
    that was kept is frozen for all later ones, but `thaw` lets those kept by an earlier run be
    tried again. Operations are counted by iteration in the account. A row whose iteration fails is
    counted as failed, as it stood before it.
    """
    counts: dict[str, Counter[str]] = {}
    stats.results["operations"] = counts
    chaining = _Chaining(teacher, iterations, seed, thaw)
    for way, failure in (runner or WithoutModel()).run(map(_ChainedRow, rows), chaining.run):
        for number, operation in way.operations:
            counts.setdefault(str(number), Counter())[operation] += 1
        if failure:
            record_failure(stats, way.row, failure)
        else:
            yield way.row


def option_shares(operations: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Return iteration → operation → share in per cent, of all rows that came so far.

    Rows that were kept in an earlier iteration count as kept in the later ones, as in the paper's
    table. `operations` is what `augment` counts.
    """
    shares: dict[str, dict[str, float]] = {}
    frozen = 0
    for number in sorted(operations, key=int):
        now = Counter(operations[number])
        now["keep"] += frozen
        frozen = now["keep"]
        total = sum(now.values())
        shares[number] = {name: 100 * now[name] / total for name in OPERATIONS}
    return shares


def shares_lines(operations: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one line an iteration: ``iteration 1: decompose 24.5 %, prefix 51.2 %, …``."""
    return [
        f"iteration {number}: " + ", ".join(f"{name} {each:.1f} %" for name, each in named.items())
        for number, named in option_shares(operations).items()
    ]


@dataclass(frozen=True)
class _Chaining:
    """All iterations of one record."""

    teacher: Teacher
    iterations: int
    seed: int
    thaw: bool

    def run(self, way: _ChainedRow) -> ModelCall[None]:
        """Lead one row through its iterations; raises CompletionFailed."""
        for turn in range(self.iterations):
            parent: Record = way.row.value
            if "kept" in parent["lineage"]:
                if turn or not self.thaw:
                    return
                parent = _thawed(parent)
            outcome = yield from self.teacher.rewrite(parent, self.seed)
            number = parent["lineage"]["iteration"] + 1
            if isinstance(outcome, Classified):
                record, operation = _classified(parent, outcome), outcome.operation
            elif isinstance(outcome, KeepUnchanged):
                record, operation = self._kept(parent, number, outcome), "keep"
            else:
                record, operation = self._chain(parent, number, outcome), outcome.operation
            way.row = way.row.changed(record)
            way.operations.append((number, operation))
            if isinstance(outcome, Classified):
                return

    def _kept(self, parent: Record, number: int, keep: KeepUnchanged) -> Record:
        """Freeze a record; a chain keeps the operation and the iteration that made it."""
        lineage: Lineage = {**parent["lineage"]}
        if lineage["operation"] in ("seed", "regenerate"):  # no chain
            lineage |= {"iteration": number, "operation": "keep", **self._origin()}
        lineage["kept"] = number
        if keep.output is None:
            return {**_without_classification(parent), "lineage": lineage}
        lineage |= {"parent": parent["id"], **self._origin()}
        steps = [{"instruction": step["instruction"]} for step in parent.get("steps", ())]
        changes = {"output": keep.output, "steps": steps, "lineage": lineage}
        return rebuild(_without_classification(parent), changes)

    def _chain(self, parent: Record, number: int, rewrite: Rewrite) -> Record:
        """Return the chain as a record; raises CompletionFailed where a step does not verify."""
        lineage: Lineage = {
            "root": parent["lineage"]["root"],
            "parent": parent["id"],
            "iteration": number,
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


def _classified(parent: Record, found: Classified) -> Record:
    """Return the record with its classification in its metadata; its content stays as it is."""
    note = {"option": found.operation, "thought": found.thought}
    return {**parent, "metadata": {**parent.get("metadata", {}), CLASSIFIED: note}}


def _without_classification(parent: Record) -> Record:
    """Return the record without the classification that has now been acted on."""
    metadata: dict[str, Any] = {**parent.get("metadata", {})}
    if CLASSIFIED not in metadata:
        return parent
    del metadata[CLASSIFIED]
    rest: dict[str, Any] = {key: value for key, value in parent.items() if key != "metadata"}
    return cast(Record, rest | ({"metadata": metadata} if metadata else {}))


def _thawed(record: Record) -> Record:
    lineage = {key: value for key, value in record["lineage"].items() if key != "kept"}
    return {**record, "lineage": cast(Lineage, lineage)}
