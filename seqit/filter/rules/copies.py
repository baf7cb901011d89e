"""Rules about outputs that only repeat the instruction."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.filter.rule import OptionSpec, Rejection, Rule, whole_number
from seqit.filter.text import fold
from seqit.records.record import Record

_WORD = re.compile(r"\w+")
_TRAILING = " .?!:;…。？！：؟"
_ASKS_FOR_COPY = re.compile(r"\b(?:repeat|restat\w+|recit\w+|echo|copy|quote|say)\b", re.IGNORECASE)
# Labels of prompt templates: "### Instruction: … ### Response:".
_LABELS = frozenset(("instruction", "input", "response", "output", "question", "answer", "task"))


@dataclass
class InstructionEqualsOutput(Rule):
    """Reject an output that equals the instruction."""

    name: ClassVar[str] = "instruction-equals-output"
    explanation: ClassVar[str] = "The output is the instruction, regardless of case and spacing."

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection if both are the same text."""
        instruction, output = record["instruction"], record["output"]
        # Nearly every row returns here or at the first character. White space is not compared, so
        # this holds only for long outputs that do not begin or end with it.
        if len(output) > 2 * len(instruction) and output[0] > " " and output[-1] > " ":
            return None
        instruction, output = instruction.strip(), output.strip()
        if output[:1].casefold() != instruction[:1].casefold():
            return None
        if fold(instruction) != fold(output):
            return None
        return Rejection("equal", "the output is the instruction itself", {})


@dataclass
class CopiedInstruction(Rule):
    """Reject an output that contains the whole instruction and hardly anything else.

    Records that ask for a repetition pass regardless of `min_added`; a chain that asks to restate
    the question has the answer in its output, too.
    """

    name: ClassVar[str] = "copied-instruction"
    explanation: ClassVar[str] = (
        "The output contains the instruction verbatim and nothing new except the input and labels "
        "such as 'Response:', unless the record asks for a repetition."
    )

    min_added: Annotated[int, OptionSpec("words that an output must add", whole_number)] = 1
    min_words: Annotated[int, OptionSpec("instructions of fewer words pass", whole_number)] = 4

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the number of words that the output adds."""
        instruction, input_text, output = record["instruction"], record["input"], record["output"]
        # Nearly every row returns here: the output is too short for a copy, or so long that it
        # must add something.
        max_length = 2 * (len(instruction) + len(input_text)) + 40 + 32 * self.min_added
        if not len(instruction) // 2 <= len(output) <= max_length or instruction[:16] not in output:
            return None
        copied, answer = fold(instruction.rstrip(_TRAILING)), fold(output)
        if copied not in answer or _count_words(instruction) < self.min_words:
            return None
        added = _count_words(output) - answer.count(copied) * _count_words(instruction)
        if input_text and fold(input_text) in answer:
            added -= _count_words(input_text)
        if added >= self.min_added or _asks_for_copy(record):
            return None
        message = (
            f"the output copies the whole instruction and adds {added} words; "
            f"the least is {self.min_added}"
        )
        return Rejection("copied", message, {"added_words": added, "limit": self.min_added})


def _count_words(text: str) -> int:
    return sum(word not in _LABELS for word in _WORD.findall(text.casefold()))


def _asks_for_copy(record: Record) -> bool:
    if record["lineage"]["operation"] == "repeat":
        return True
    tasks = [record["instruction"], *(step["instruction"] for step in record.get("steps", ()))]
    return any(_ASKS_FOR_COPY.search(task) for task in tasks)
