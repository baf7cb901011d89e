"""Evol-Instruct: in each round, a model makes prompts harder or replaces them with new ones.

A baseline of arXiv 2403.07794. Source: Xu et al., "WizardLM: Empowering Large Language Models to
Follow Complex Instructions", arXiv 2304.12244, section 3. In each round, each record is evolved
by one of five depth operations or the breadth operation, chosen with equal probability; if the
evolution fails, the record enters the next round unchanged. Each input row gives one output row,
so that the set is as large as the one it is compared with. The paper's pool, which keeps the
prompts of every round, is the concatenation of the outputs of several runs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from seqit.augment.derive import RowState, derive, record_failure, require_model
from seqit.augment.evol_instruct.elimination import answer_problem, copied_words, same_prompt
from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.prompt import load_prompt, prompts_version
from seqit.augment.respond import respond
from seqit.checks.placeholder import placeholder_kind
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.formats.chat import prompt_text
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

METHOD = "evol-instruct"

DEPTH = ("constrain", "deepen", "concretize", "reason", "complicate")
BREADTH = "broaden"

_EVOLVE_FORM = TaggedForm((AnswerField("instruction"),))
_JUDGE_FORM = TaggedForm((AnswerField("verdict", ("equal", "different")),))
_JUDGE_PROMPT = "evol_judge"


@dataclass(slots=True)
class _EvolvingRow(RowState):
    """A row with its operations by round, and the evolutions that were eliminated."""

    eliminated: list[tuple[int, str]] = field(default_factory=list)  # (round, reason)


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    rounds: int = 1,
    breadth: bool = True,
) -> Iterator[Row]:
    """Yield each row after `rounds` rounds, in input order, answered by the model.

    An evolved record's instruction includes its input; `metadata.evolutions` lists its
    operations. breadth: whether `broaden` is one of the operations to choose from. It is never
    used for a record with images or earlier turns, which a new prompt would not fit. A row
    without a successful evolution is yielded unchanged, with its original answer. The run
    statistics count the operations and, by reason, the eliminated evolutions of each round.

    Raises UsageError if model is None, or if rounds is less than 1.
    """
    model = require_model(model, METHOD, "to evolve the instructions")
    if rounds < 1:
        raise UsageError(f"rounds is {rounds}, but must be 1 or more.")
    counts: dict[str, dict[str, Counter[str]]] = {"operations": {}, "eliminated": {}}
    stats.results |= counts
    evolver = _Evolver(model, rounds, breadth, seed)
    for state, failure in model.run(map(_EvolvingRow, rows), evolver.run):
        for kind, events in (("operations", state.operations), ("eliminated", state.eliminated)):
            for number, name in events:
                counts[kind].setdefault(str(number), Counter())[name] += 1
        if failure:
            record_failure(stats, state.row, failure)
        else:
            yield state.row


@dataclass(frozen=True)
class _Evolver:
    """Runs all rounds of one record."""

    model: ModelClient
    rounds: int
    breadth: bool
    seed: int

    def run(self, state: _EvolvingRow) -> ModelCall[None]:
        """Run all rounds of one row; raises CompletionFailed."""
        for number in range(1, self.rounds + 1):
            parent: Record = state.row.value
            operation = self._rng(parent, number, "operation").choice(self._operations(parent))
            record, reason = yield from self._evolve(parent, number, operation)
            if record:
                state.row = state.row.with_value(record)
                state.operations.append((number, operation))
            else:
                state.eliminated.append((number, reason))

    def _operations(self, record: Record) -> tuple[str, ...]:
        depth_only = not self.breadth or record.get("images") or record.get("history")
        return DEPTH if depth_only else (*DEPTH, BREADTH)

    def _evolve(
        self, parent: Record, number: int, operation: str
    ) -> ModelCall[tuple[Record | None, str]]:
        """Return the evolved record with its answer, or None and the elimination reason."""
        text = prompt_text(parent)
        instruction = yield from self._rewrite(parent, text, number, operation)
        if same_prompt(text, instruction):
            return None, "no-gain"
        if copied_words(text, instruction):
            return None, "copied-words"
        if not (yield from self._asks_for_more(parent, text, instruction, number)):
            return None, "no-gain"
        record = self._derive(parent, instruction, "", operation)
        answer = yield from respond(self.model, record, self.seed)
        if reason := answer_problem(answer):
            return None, reason
        return self._derive(parent, instruction, answer, operation), ""

    def _rewrite(self, parent: Record, text: str, number: int, operation: str) -> ModelCall[str]:
        structured = self.model.structured
        rng = self._rng(parent, number, "examples")
        prompt = load_prompt(f"evol_{operation}")
        messages = prompt.messages({"text": text}, _EVOLVE_FORM, structured, rng)

        def parse(completion: str) -> str:
            instruction: str = _EVOLVE_FORM.parse(completion, structured)["instruction"]
            if placeholder_kind(instruction):
                raise ParseError("the instruction is a placeholder", "placeholder")
            return instruction

        return (
            yield from self.model.complete(
                parent,
                f"evolve {number}",
                messages,
                parse,
                seed=self.seed,
                schema=_EVOLVE_FORM.schema,
            )
        )

    def _asks_for_more(
        self, parent: Record, first: str, second: str, number: int
    ) -> ModelCall[bool]:
        """Return whether the LLM judge finds that the second prompt asks for more."""
        structured = self.model.structured
        rng = self._rng(parent, number, "judge examples")
        values = {"first": first, "second": second}
        messages = load_prompt(_JUDGE_PROMPT).messages(values, _JUDGE_FORM, structured, rng)
        judgement = yield from self.model.complete(
            parent,
            f"judge {number}",
            messages,
            lambda completion: _JUDGE_FORM.parse(completion, structured)["verdict"],
            seed=self.seed,
            schema=_JUDGE_FORM.schema,
            sampling=replace(self.model.sampling, temperature=0.0),
        )
        return bool(judgement == "different")

    def _derive(self, parent: Record, instruction: str, answer: str, operation: str) -> Record:
        metadata = parent.get("metadata", {})
        evolutions = [*metadata.get("evolutions", []), operation]
        changes = {
            "instruction": instruction,
            "input": "",
            "output": answer,
            "steps": [],
            "metadata": {**metadata, "evolutions": evolutions},
        }
        return derive(
            parent,
            changes,
            "broaden" if operation == BREADTH else "evolve",
            method=METHOD,
            seed=self.seed,
            teacher=self.model.name,
            prompt=prompts_version(f"evol_{operation}", _JUDGE_PROMPT),
        )

    def _rng(self, record: Record, number: int, stage: str) -> Random:
        iteration = record["lineage"]["iteration"] + 1
        return rng_for(self.seed, record["id"], iteration, f"{METHOD} {number} {stage}")
