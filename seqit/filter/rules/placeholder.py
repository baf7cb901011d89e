"""The rule about placeholders in place of an answer."""

from dataclasses import dataclass
from typing import ClassVar

from seqit.checks.placeholder import EDGE_CHARACTERS, LOREM, placeholder_kind
from seqit.filter.rule import Rejection, Rule
from seqit.records.record import Record
from seqit.records.validation import shorten

# Longer texts are not placeholders; to skip them makes the rule cheap.
_MAX_CHARACTERS = 160


@dataclass
class Placeholder(Rule):
    """Reject a record with a placeholder instead of a text."""

    name: ClassVar[str] = "placeholder"
    explanation: ClassVar[str] = (
        "The whole output is a placeholder (N/A, TODO, …, an unfilled slot, lorem ipsum) that the "
        "prompt does not mention, or a text is the error of a failed model call."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the placeholder."""
        output = record["output"]
        if len(output) <= _MAX_CHARACTERS or output.startswith(("Lorem", "lorem")):
            text = output.strip()
            reason = placeholder_kind(text)
            if reason and not _mentions(record, text):
                return _reject(reason, "output", text)
        instruction = record["instruction"]
        if len(instruction) <= 60 and placeholder_kind(instruction.strip()) == "failed-call":
            return _reject("failed-call", "instruction", instruction.strip())
        input_text = record["input"]
        if (
            input_text
            and len(input_text) <= 12
            and input_text.strip(EDGE_CHARACTERS).casefold() == "noinput"
        ):
            return _reject("stand-in", "input", input_text.strip())
        return None


def _mentions(record: Record, text: str) -> bool:
    """Return whether the prompt mentions the text, as in "answer N/A if nothing fits"."""
    core = text.strip(EDGE_CHARACTERS).casefold() or text
    searched = LOREM if core.startswith(LOREM) else core
    return searched in f"{record['instruction']}\n{record['input']}".casefold()


def _reject(reason: str, field: str, text: str) -> Rejection:
    shown = shorten(text, 80)
    message = f"the {field} is a placeholder: {shown!r}"
    return Rejection(reason, message, {"field": field, "text": shown})
