"""Rules about answers that only say the instruction again."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.filter.rule import OptionSpec, Rejection, Rule, whole_number
from seqit.filter.text import fold
from seqit.records.record import Record

_WORD = re.compile(r"\w+")
_ENDS = " .?!:;…。？！：؟"
_ASKS_FOR_COPY = re.compile(r"\b(?:repeat|restat\w+|recit\w+|echo|copy|quote|say)\b", re.IGNORECASE)
# What a prompt template writes around its parts: "### Instruction: … ### Response:".
_LABELS = frozenset(("instruction", "input", "response", "output", "question", "answer", "task"))


@dataclass
class InstructionEqualsOutput(Rule):
    """Object to an output that is the instruction."""

    name: ClassVar[str] = "instruction-equals-output"
    explanation: ClassVar[str] = "The output is the instruction, case and spacing aside."

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection where both are the same text."""
        instruction, output = record["instruction"], record["output"]
        # Nearly every row ends here: too long an answer, or another first character. White space
        # is no part of the text, so a long answer must not begin or end with it.
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
    """Object to an output that holds the whole instruction and hardly anything else.

    A chain may ask to restate the question: its output holds the answer too, and records that
    ask for a repetition are let pass whatever `min_added` is.
    """

    name: ClassVar[str] = "copied-instruction"
    explanation: ClassVar[str] = (
        "The output holds the instruction verbatim and, beside it, the input and labels such as "
        "'Response:', nothing of its own; unless a repetition was asked for."
    )

    min_added: Annotated[int, OptionSpec("words that an output must add", whole_number)] = 1
    min_words: Annotated[int, OptionSpec("instructions of fewer words pass", whole_number)] = 4

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the number of words that the output adds."""
        instruction, given, output = record["instruction"], record["input"], record["output"]
        # Nearly every row ends here: the output is too short for a copy, or long and says more.
        most = 2 * (len(instruction) + len(given)) + 40 + 32 * self.min_added
        if not len(instruction) // 2 <= len(output) <= most or instruction[:16] not in output:
            return None
        copied, answer = fold(instruction.rstrip(_ENDS)), fold(output)
        if copied not in answer or _words(instruction) < self.min_words:
            return None
        added = _words(output) - answer.count(copied) * _words(instruction)
        if given and fold(given) in answer:
            added -= _words(given)
        if added >= self.min_added or _asks_for_copy(record):
            return None
        message = (
            f"the output copies the whole instruction and adds {added} words; "
            f"the least is {self.min_added}"
        )
        return Rejection("copied", message, {"added_words": added, "limit": self.min_added})


def _words(text: str) -> int:
    return sum(word not in _LABELS for word in _WORD.findall(text.casefold()))


def _asks_for_copy(record: Record) -> bool:
    if record["lineage"]["operation"] == "repeat":
        return True
    tasks = [record["instruction"], *(step["instruction"] for step in record.get("steps", ()))]
    return any(_ASKS_FOR_COPY.search(task) for task in tasks)
