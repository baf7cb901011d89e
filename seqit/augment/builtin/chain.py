"""A record seen as a chain: steps in front, the original task, steps after it."""

from dataclasses import dataclass, field

from seqit.augment.builtin.decompose import DETAILS
from seqit.augment.builtin.library import kind_of
from seqit.records.record import Record, Step


@dataclass(slots=True)
class Chain:
    """The steps of a record, and the text that its original task has in the instruction."""

    text: str  # the original task, verbatim
    core: list[Step]  # usually one; several for split questions and for chains from elsewhere
    before: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [*self.before, *self.core, *self.after]

    @property
    def asks_several(self) -> bool:
        """Say whether the text is nothing but the questions that the core steps answer."""
        asked = " ".join(step["instruction"] for step in self.core)
        return len(self.core) > 1 and asked.split() == self.text.split()

    @property
    def has_details(self) -> bool:
        """Say whether the core is a one-sentence answer with a step of its own for the details."""
        return bool(self.after) and kind_of(self.after[0]["instruction"]) is DETAILS

    def used(self) -> set[str]:
        """Return the keys of the library steps in the chain."""
        kinds = (kind_of(step["instruction"]) for step in (*self.before, *self.after))
        return {kind.key for kind in kinds if kind}


def read_chain(record: Record) -> Chain | None:
    """Return the record's chain; None where it cannot be taken up again.

    That is the case where a step has no output, the outputs do not make up the record's output, or
    the instruction was edited so that it no longer holds the original task.
    """
    steps = record.get("steps")
    if not steps:
        core: Step = {"instruction": record["instruction"], "output": record["output"]}
        return Chain(record["instruction"], [core])
    place = 0
    for step in steps:
        found = record["output"].find(step.get("output") or "\0", place)
        if found < 0:
            return None
        place = found + len(step["output"])
    own = [kind_of(step["instruction"]) is None for step in steps]
    if not any(own):
        return None
    first, last = own.index(True), len(own) - own[::-1].index(True)
    core_steps = list(steps[first:last])
    text = _original(record["instruction"], core_steps, whole=all(own))
    if text is None or not all(own[first:last]):
        return None
    return Chain(text, core_steps, list(steps[:first]), list(steps[last:]))


def _original(instruction: str, core: list[Step], whole: bool) -> str | None:
    """Return the passage of the instruction that holds the original task; None if there is none."""
    if len(core) == 1 and not whole:
        wanted = core[0]["instruction"]
        # The composer may have lower-cased a leading verb and dropped the final stop.
        kept = wanted in instruction or wanted[1:].removesuffix(".") in instruction
        return wanted if kept else None
    start = instruction.find(core[0]["instruction"])
    last = core[-1]["instruction"]
    end = instruction.find(last, max(start, 0)) + len(last)
    passage = instruction[start:end] if start >= 0 else ""
    if passage.split() == " ".join(step["instruction"] for step in core).split():
        return passage  # questions that were split here, or a task that is the whole instruction
    return instruction if whole else None
