"""A benchmark of chained instructions, built as SeqEval was: from seed questions, without answers.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025 (arXiv 2403.07794), section on SeqEval. Each question is extended by one task an
iteration, in a mode that is drawn: a prefix or a suffix task or, in the first iteration, being
decomposed. Each item is taken from one of the iterations, drawn too, so that the benchmark holds
chains of every length; published were 10, 20, 30 and 40 % of iterations 1 to 4.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from seqit.augment.derive import derive, need_model, record_failure
from seqit.augment.prompt import prompts_version
from seqit.augment.seq_instruct.llm.question import OutputFormat
from seqit.augment.seq_instruct.llm.teacher import Extract, LanguageTeacher, default_format
from seqit.augment.seq_instruct.teacher import CLASSIFIED, ChainOperation, Rewrite
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

METHOD = "seqeval"

_FIRST: tuple[ChainOperation, ...] = ("decompose", "prefix", "suffix")
_LATER: tuple[ChainOperation, ...] = ("prefix", "suffix")


@dataclass(slots=True)
class _ItemRow:
    """One row on its way to its iteration, as far as it has come."""

    row: Row
    operations: list[ChainOperation] = field(default_factory=list)


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    iterations: int = 4,
    keep_shares: Sequence[float] | None = None,
    extract: Extract = "auto",
    refine: bool = True,
    shape: OutputFormat = default_format,
) -> Iterator[Row]:
    """Yield one benchmark item for every row, in input order: a chain with its steps, no answer.

    keep_shares: how often an item is taken from iteration 1, 2, … to `iterations`; by default in
    proportion to its number, which for 4 iterations is 10, 20, 30 and 40 %. The iteration is drawn
    for each row by itself, so the shares are met on average, and no item depends on other rows or
    their order; the account counts them ("kept"), and the modes by iteration. A row is not
    extended beyond its own iteration. extract, refine and shape are the teacher's.

    Raises UsageError where there is no model, or the shares are not one for each iteration.
    """
    model = need_model(model, METHOD, "to extend the instructions")
    shares = tuple(keep_shares or range(1, iterations + 1))
    _check_shares(iterations, shares)
    counts: dict[str, Counter[str]] = {}
    kept: Counter[str] = Counter()
    stats.results |= {"operations": counts, "kept": kept}
    teacher = LanguageTeacher(model, extract, refine, until="rewrite", shape=shape)
    building = _Building(teacher, shares, seed)
    for way, failure in model.run(map(_ItemRow, rows), building.run):
        for number, operation in enumerate(way.operations, 1):
            counts.setdefault(str(number), Counter())[operation] += 1
        if failure:
            record_failure(stats, way.row, failure)
        else:
            kept[str(len(way.operations))] += 1
            yield way.row


def _check_shares(iterations: int, shares: Sequence[float]) -> None:
    right = all(math.isfinite(share) and share >= 0 for share in shares) and sum(shares) > 0
    if len(shares) != iterations or not right:
        given = ",".join(map(str, shares))
        raise UsageError(
            f"keep-shares is {given}, but must be {iterations} numbers, one for each iteration: "
            "0 or more, and not all of them 0."
        )


@dataclass(frozen=True)
class _Building:
    """All iterations of one item."""

    teacher: LanguageTeacher
    shares: Sequence[float]
    seed: int

    def run(self, way: _ItemRow) -> ModelCall[None]:
        """Extend one row up to its iteration; raises Unanswered."""
        for number in range(1, self._iteration(way.row.value) + 1):
            parent: Record = way.row.value
            iteration = parent["lineage"]["iteration"] + 1
            lot = rng_for(self.seed, parent["id"], iteration, f"{METHOD} mode")
            operation = lot.choice(_FIRST if number == 1 else _LATER)
            way.row = way.row.changed((yield from self._extended(parent, operation)))
            way.operations.append(operation)

    def _iteration(self, record: Record) -> int:
        """Draw the iteration from which the row's item is taken."""
        numbers = range(1, len(self.shares) + 1)
        lot = rng_for(self.seed, record["id"], record["lineage"]["iteration"], f"{METHOD} keep")
        return lot.choices(numbers, self.shares)[0]

    def _extended(self, parent: Record, operation: ChainOperation) -> ModelCall[Record]:
        """Ask for the chain, by a mode that was drawn instead of asked for."""
        drawn = {**parent.get("metadata", {}), CLASSIFIED: {"option": operation, "thought": ""}}
        found = yield from self.teacher.rewrite({**parent, "metadata": drawn}, self.seed)
        chain = cast(Rewrite, found)
        return derive(
            parent,
            {"instruction": chain.instruction, "output": "", "steps": chain.steps},
            operation,
            method=METHOD,
            seed=self.seed,
            teacher=self.teacher.name,
            prompt=self._prompt,
        )

    @property
    def _prompt(self) -> str:
        before = [] if self.teacher.extract == "never" else ["extract"]
        return prompts_version(*before, *_FIRST, *(["refine"] if self.teacher.refine else []))
