"""Parse a record as a chain: steps before the original task, the task, and steps after it."""

from dataclasses import dataclass, field

from seqit.augment.builtin.decompose import DETAILS
from seqit.augment.builtin.library import kind_of
from seqit.records.record import Record, Step


@dataclass(slots=True)
class Chain:
    """The steps of a record, and the text of its original task in the instruction."""

    text: str  # the original task, verbatim
    core: list[Step]  # usually one; several for split questions and for chains of other origin
    before: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [*self.before, *self.core, *self.after]

    @property
    def asks_several(self) -> bool:
        """Whether the text consists of the questions that the core steps answer."""
        questions = " ".join(step["instruction"] for step in self.core)
        return len(self.core) > 1 and questions.split() == self.text.split()

    @property
    def has_details(self) -> bool:
        """Whether the core is a one-sentence answer, followed by a step for the details."""
        return bool(self.after) and kind_of(self.after[0]["instruction"]) is DETAILS

    def used_keys(self) -> set[str]:
        """Return the keys of the library steps in the chain."""
        kinds = (kind_of(step["instruction"]) for step in (*self.before, *self.after))
        return {kind.key for kind in kinds if kind}


def parse_chain(record: Record) -> Chain | None:
    """Return the record's chain; None if it cannot be extended.

    That is the case if a step has no output, the outputs do not occur in order in the record's
    output, or the instruction was edited and no longer contains the original task.
    """
    steps = record.get("steps")
    if not steps:
        core: Step = {"instruction": record["instruction"], "output": record["output"]}
        return Chain(record["instruction"], [core])
    position = 0
    for step in steps:
        found = record["output"].find(step.get("output") or "\0", position)
        if found < 0:
            return None
        position = found + len(step["output"])
    is_core = [kind_of(step["instruction"]) is None for step in steps]
    if not any(is_core):
        return None
    first, last = is_core.index(True), len(is_core) - is_core[::-1].index(True)
    core_steps = list(steps[first:last])
    text = _find_task_text(record["instruction"], core_steps, core_only=all(is_core))
    if text is None or not all(is_core[first:last]):
        return None
    return Chain(text, core_steps, list(steps[:first]), list(steps[last:]))


def _find_task_text(instruction: str, core: list[Step], core_only: bool) -> str | None:
    """Return the passage of the instruction that is the original task; None if there is none."""
    if len(core) == 1 and not core_only:
        task = core[0]["instruction"]
        # `compose` may have lower-cased a leading verb and dropped the full stop.
        found = task in instruction or task[1:].removesuffix(".") in instruction
        return task if found else None
    start = instruction.find(core[0]["instruction"])
    last = core[-1]["instruction"]
    end = instruction.find(last, max(start, 0)) + len(last)
    passage = instruction[start:end] if start >= 0 else ""
    if passage.split() == " ".join(step["instruction"] for step in core).split():
        return passage  # questions split by `decompose`, or a task that is the whole instruction
    return instruction if core_only else None
