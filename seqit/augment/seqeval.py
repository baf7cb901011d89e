"""Build a benchmark of chained instructions like SeqEval: from seed questions, without answers.

Source: Hu, Yu, Chen, Ponti, "Fine-Tuning Large Language Models with Sequential Instructions",
NAACL 2025 (arXiv 2403.07794), section on SeqEval. Each iteration adds one task to a question, by
an operation chosen at random: prefix or suffix, in the first iteration also decompose. The number
of iterations per item is sampled too, so that the benchmark has chains of every length; published
were 10, 20, 30 and 40 % after 1 to 4 iterations.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from seqit.augment.derive import RowState, derive, record_failure, require_model
from seqit.augment.prompt import prompts_version
from seqit.augment.seq_instruct.llm.stage_caller import OutputFormat, default_format
from seqit.augment.seq_instruct.llm.teacher import ExtractMode, LanguageTeacher
from seqit.augment.seq_instruct.teacher import CLASSIFICATION_KEY, ChainOperation, Rewrite
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

METHOD = "seqeval"

_FIRST_OPERATIONS: tuple[ChainOperation, ...] = ("decompose", "prefix", "suffix")
_LATER_OPERATIONS: tuple[ChainOperation, ...] = ("prefix", "suffix")


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    iterations: int = 4,
    keep_shares: Sequence[float] | None = None,
    extract: ExtractMode = "auto",
    refine: bool = True,
    output_format: OutputFormat = default_format,
) -> Iterator[Row]:
    """Yield one benchmark item for every row, in input order: a chain with its steps, no answer.

    keep_shares: the shares of items with 1, 2, … `iterations` iterations; by default
    proportional to that number, which for 4 iterations is 10, 20, 30 and 40 %. The number is
    sampled for each row independently, so the shares are met on average, and no item depends on
    other rows or their order. The run statistics count the items by number of iterations
    ("kept"), and the operations by iteration. extract, refine and output_format: see
    LanguageTeacher.

    Raises UsageError if model is None, or if there is not one share per iteration.
    """
    model = require_model(model, METHOD, "to extend the instructions")
    shares = tuple(keep_shares or range(1, iterations + 1))
    _check_shares(iterations, shares)
    counts: dict[str, Counter[str]] = {}
    kept: Counter[str] = Counter()
    stats.results |= {"operations": counts, "kept": kept}
    teacher = LanguageTeacher(
        model, extract, refine, stop_after="rewrite", output_format=output_format
    )
    builder = _ItemBuilder(teacher, shares, seed)
    for state, failure in model.run(map(RowState, rows), builder.run):
        for iteration, operation in state.operations:
            counts.setdefault(str(iteration), Counter())[operation] += 1
        if failure:
            record_failure(stats, state.row, failure)
        else:
            kept[str(len(state.operations))] += 1
            yield state.row


def _check_shares(iterations: int, shares: Sequence[float]) -> None:
    valid = all(math.isfinite(share) and share >= 0 for share in shares) and sum(shares) > 0
    if len(shares) != iterations or not valid:
        given = ",".join(map(str, shares))
        raise UsageError(
            f"keep-shares is {given}, but must be {iterations} numbers, one for each iteration: "
            "0 or more, and not all of them 0."
        )


@dataclass(frozen=True)
class _ItemBuilder:
    """Runs all iterations of one item."""

    teacher: LanguageTeacher
    shares: Sequence[float]
    seed: int

    def run(self, state: RowState) -> ModelCall[None]:
        """Extend one row for its number of iterations; raises CompletionFailed."""
        for number in range(1, self._sample_iterations(state.row.value) + 1):
            parent: Record = state.row.value
            iteration = parent["lineage"]["iteration"] + 1
            rng = rng_for(self.seed, parent["id"], iteration, f"{METHOD} mode")
            operation = rng.choice(_FIRST_OPERATIONS if number == 1 else _LATER_OPERATIONS)
            state.row = state.row.with_value((yield from self._extend(parent, operation)))
            state.operations.append((number, operation))

    def _sample_iterations(self, record: Record) -> int:
        """Return the number of iterations for the row's item, sampled by the shares."""
        numbers = range(1, len(self.shares) + 1)
        rng = rng_for(self.seed, record["id"], record["lineage"]["iteration"], f"{METHOD} keep")
        return rng.choices(numbers, self.shares)[0]

    def _extend(self, parent: Record, operation: ChainOperation) -> ModelCall[Record]:
        """Return the rewritten chain; the given operation replaces the classify stage."""
        classification = {"option": operation, "thought": ""}
        metadata = {**parent.get("metadata", {}), CLASSIFICATION_KEY: classification}
        outcome = yield from self.teacher.rewrite({**parent, "metadata": metadata}, self.seed)
        chain = cast(Rewrite, outcome)
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
        extract = [] if self.teacher.extract == "never" else ["extract"]
        refine = ["refine"] if self.teacher.refine else []
        return prompts_version(*extract, *_FIRST_OPERATIONS, *refine)
