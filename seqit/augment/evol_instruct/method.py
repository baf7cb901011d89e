"""Evol-Instruct: a model makes prompts harder, or puts others in their place, round after round.

The baseline of arXiv 2403.07794 beside Seq-Instruct. Source: Xu et al., "WizardLM: Empowering
Large Language Models to Follow Complex Instructions", arXiv 2304.12244, section 3. In a round
each record is evolved by one of five depth operations or by the breadth operation, drawn with
equal chances; where the evolution fails, the record stays as it was and goes into the next round.
One row in is one row out, so that the set is as large as the one it is compared with; the paper's
pool, which keeps every round's prompts, is the outputs of several runs together.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from seqit.augment.derive import derive, need_model, record_failure
from seqit.augment.evol_instruct.elimination import answer_problem, copied_words, same_prompt
from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.prompt import load_prompt, prompts_version
from seqit.augment.respond import respond
from seqit.checks.placeholder import placeholder_kind
from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.formats.chat import question_of
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

METHOD = "evol-instruct"

DEPTH = ("constrain", "deepen", "concretize", "reason", "complicate")
BREADTH = "broaden"

_EVOLVED = TaggedForm((AnswerField("instruction"),))
_VERDICT = TaggedForm((AnswerField("verdict", ("equal", "different")),))
_JUDGE = "evol_judge"


@dataclass(slots=True)
class _EvolvingRow:
    """One row on its way through the rounds: what it is now, and what was done or given up."""

    row: Row
    done: list[tuple[int, str]] = field(default_factory=list)  # (round, operation)
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
    """Yield each row as it stands after so many rounds, in input order, answered by the model.

    An evolved record's instruction holds its input too; `metadata.evolutions` names its
    operations. `breadth` says whether `broaden` is among those drawn; never for a record with
    images or earlier turns, which another prompt would not go with. A row without any successful
    evolution stays as it is, with its own answer. The account counts operations and, by reason,
    eliminated evolutions of each round.

    Raises UsageError where there is no model, or for less than one round.
    """
    model = need_model(model, METHOD, "to evolve the instructions")
    if rounds < 1:
        raise UsageError(f"rounds is {rounds}, but must be 1 or more.")
    counts: dict[str, dict[str, Counter[str]]] = {"operations": {}, "eliminated": {}}
    stats.results |= counts
    evolving = _Evolving(model, rounds, breadth, seed)
    for way, failure in model.run(map(_EvolvingRow, rows), evolving.run):
        for kind, events in (("operations", way.done), ("eliminated", way.eliminated)):
            for number, name in events:
                counts[kind].setdefault(str(number), Counter())[name] += 1
        if failure:
            record_failure(stats, way.row, failure)
        else:
            yield way.row


@dataclass(frozen=True)
class _Evolving:
    """All rounds of one record."""

    model: ModelClient
    rounds: int
    breadth: bool
    seed: int

    def run(self, way: _EvolvingRow) -> ModelCall[None]:
        """Lead one row through its rounds; raises Unanswered."""
        for number in range(1, self.rounds + 1):
            parent: Record = way.row.value
            operation = self._lot(parent, number, "operation").choice(self._operations(parent))
            record, reason = yield from self._evolved(parent, number, operation)
            if record:
                way.row = way.row.changed(record)
                way.done.append((number, operation))
            else:
                way.eliminated.append((number, reason))

    def _operations(self, record: Record) -> tuple[str, ...]:
        bound = not self.breadth or record.get("images") or record.get("history")
        return DEPTH if bound else (*DEPTH, BREADTH)

    def _evolved(
        self, parent: Record, number: int, operation: str
    ) -> ModelCall[tuple[Record | None, str]]:
        """Return the evolved record with its answer, or None and why it is eliminated."""
        text = question_of(parent)
        instruction = yield from self._rewrite(parent, text, number, operation)
        if same_prompt(text, instruction):
            return None, "no-gain"
        if copied_words(text, instruction):
            return None, "copied-words"
        if not (yield from self._gains(parent, text, instruction, number)):
            return None, "no-gain"
        record = self._derived(parent, instruction, "", operation)
        answer = yield from respond(self.model, record, self.seed)
        if reason := answer_problem(answer):
            return None, reason
        return self._derived(parent, instruction, answer, operation), ""

    def _rewrite(self, parent: Record, text: str, number: int, operation: str) -> ModelCall[str]:
        structured = self.model.structured
        lot = self._lot(parent, number, "examples")
        prompt = load_prompt(f"evol_{operation}")
        messages = prompt.messages({"text": text}, _EVOLVED, structured, lot)

        def read(completion: str) -> str:
            instruction: str = _EVOLVED.read(completion, structured)["instruction"]
            if placeholder_kind(instruction):
                raise ParseError("the instruction is a placeholder", "placeholder")
            return instruction

        return (
            yield from self.model.complete(
                parent,
                f"evolve {number}",
                messages,
                read,
                seed=self.seed,
                schema=_EVOLVED.schema,
            )
        )

    def _gains(self, parent: Record, first: str, second: str, number: int) -> ModelCall[bool]:
        """Ask whether the evolved prompt asks for more than the former."""
        structured = self.model.structured
        lot = self._lot(parent, number, "judge examples")
        values = {"first": first, "second": second}
        messages = load_prompt(_JUDGE).messages(values, _VERDICT, structured, lot)
        verdict = yield from self.model.complete(
            parent,
            f"judge {number}",
            messages,
            lambda completion: _VERDICT.read(completion, structured)["verdict"],
            seed=self.seed,
            schema=_VERDICT.schema,
            sampling=replace(self.model.sampling, temperature=0.0),
        )
        return bool(verdict == "different")

    def _derived(self, parent: Record, instruction: str, answer: str, operation: str) -> Record:
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
            prompt=prompts_version(f"evol_{operation}", _JUDGE),
        )

    def _lot(self, record: Record, number: int, stage: str) -> Random:
        iteration = record["lineage"]["iteration"] + 1
        return rng_for(self.seed, record["id"], iteration, f"{METHOD} {number} {stage}")
