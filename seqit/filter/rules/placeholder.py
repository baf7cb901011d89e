"""Rules about answers that stand where an answer should be."""

from dataclasses import dataclass
from typing import ClassVar

from seqit.checks.placeholder import EDGES, LOREM, placeholder_kind
from seqit.filter.rule import Rejection, Rule
from seqit.records.record import Record
from seqit.records.validation import shorten

# A longer text says something, so it is not looked at, which makes the rule cheap.
_LONGEST = 160


@dataclass
class Placeholder(Rule):
    """Object to a text that only stands where one should be."""

    name: ClassVar[str] = "placeholder"
    explanation: ClassVar[str] = (
        "The whole output is a stand-in (N/A, TODO, …, an unfilled slot, lorem ipsum) that the "
        "prompt does not mention, or a text is what a failed call left behind."
    )

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection that names the text found."""
        output = record["output"]
        if len(output) <= _LONGEST or output.startswith(("Lorem", "lorem")):
            text = output.strip()
            reason = placeholder_kind(text)
            if reason and not _mentions(record, text):
                return _object(reason, "output", text)
        instruction = record["instruction"]
        if len(instruction) <= 60 and placeholder_kind(instruction.strip()) == "failed-call":
            return _object("failed-call", "instruction", instruction.strip())
        given = record["input"]
        if given and len(given) <= 12 and given.strip(EDGES).casefold() == "noinput":
            return _object("stand-in", "input", given.strip())
        return None


def _mentions(record: Record, text: str) -> bool:
    """Tell whether the prompt speaks of this text, as in "answer N/A where nothing fits"."""
    core = text.strip(EDGES).casefold() or text
    sought = LOREM if core.startswith(LOREM) else core
    return sought in f"{record['instruction']}\n{record['input']}".casefold()


def _object(reason: str, field: str, text: str) -> Rejection:
    shown = shorten(text, 80)
    message = f"the {field} is a placeholder: {shown!r}"
    return Rejection(reason, message, {"field": field, "text": shown})
