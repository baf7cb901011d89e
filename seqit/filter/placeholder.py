"""Rules about answers that stand where an answer should be."""

import re
from dataclasses import dataclass
from typing import ClassVar

from seqit.filter.rule import Objection, Rule
from seqit.records.record import Record
from seqit.records.validation import shorten

# A longer text says something, so it is not looked at, which makes the rule cheap.
_LONGEST = 160
_LOREM = "lorem ipsum"

_EDGES = " \t\r\n.…:;!?*_-—#<>[](){}\"'`“”"
_STAND_INS = frozenset(
    {
        "n/a",
        "n.a",
        "fixme",
        "to be determined",
        "noinput",
        "no input",
        "nooutput",
        "no output",
        "placeholder",
        "placeholder text",
        "answer here",
        "answer goes here",
        "response here",
        "response goes here",
        "your answer",
        "your answer here",
        "your response here",
    }
)
# In capitals alone: "todo" is Spanish for everything.
_CAPITALS = frozenset({"TODO", "TBD", "TBA"})

# "[Insert the answer]", "<your response here>": the slot is all there is. A slot in a letter
# ("Dear [Name]") is what people ask for, so it is none of this rule's business.
_SLOT = re.compile(
    r"[\[<{(]{1,3}\s*(?:(?:please )?(?:insert|enter|fill in) |(?:your|the|model)[ _]"
    r"(?:answer|response|output)\b)[^\[\]<>{}()]*[\]>})]{1,3}\.?",
    re.IGNORECASE,
)

# What a failed call leaves behind; "THIS EVALUATION FAILED AFTER 5 ATTEMPTS." came into SeqEval
# as it was published.
_FAILURE = re.compile(
    r"(?:\w+ ){1,3}failed after \d+ (?:attempts?|retries|tries)\.?"
    r"|\W*error\W*"
    r"|(?:openai\.)?(?:\w+\.)?(?:RateLimit|APIConnection|APITimeout|InternalServer)Error\b.*"
    r"|error code: \d{3} - \{.*"
    r"|rate limit reached for .*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass
class Placeholder(Rule):
    """Object to a text that only stands where one should be."""

    name: ClassVar[str] = "placeholder"
    explanation: ClassVar[str] = (
        "The whole output is a stand-in (N/A, TODO, …, an unfilled slot, lorem ipsum) that the "
        "prompt does not mention, or a text is what a failed call left behind."
    )

    def judge(self, record: Record) -> Objection | None:
        """Return an objection that names the text found."""
        output = record["output"]
        if len(output) <= _LONGEST or output.startswith(("Lorem", "lorem")):
            text = output.strip()
            reason = _kind(text)
            if reason and not _mentions(record, text):
                return _object(reason, "output", text)
        instruction = record["instruction"]
        if len(instruction) <= 60 and _kind(instruction.strip()) == "failed-call":
            return _object("failed-call", "instruction", instruction.strip())
        given = record["input"]
        if given and len(given) <= 12 and given.strip(_EDGES).casefold() == "noinput":
            return _object("stand-in", "input", given.strip())
        return None


def _kind(text: str) -> str:
    """Return which kind of placeholder the whole text is, or nothing."""
    core = text.strip(_EDGES)
    if not core:
        return "stand-in" if text and not text.strip("….") else ""
    folded = core.casefold()
    if folded in _STAND_INS or core in _CAPITALS:
        return "stand-in"
    if folded.startswith(_LOREM):
        return "lorem-ipsum"
    if len(core) > 5 and text[0] in "[<{(" and _SLOT.fullmatch(text):
        return "unfilled-slot"
    may_be = "error" in folded or "failed after" in folded or "limit" in folded
    return "failed-call" if may_be and _FAILURE.fullmatch(text) else ""


def _mentions(record: Record, text: str) -> bool:
    """Tell whether the prompt speaks of this text, as in "answer N/A where nothing fits"."""
    core = text.strip(_EDGES).casefold() or text
    sought = _LOREM if core.startswith(_LOREM) else core
    return sought in f"{record['instruction']}\n{record['input']}".casefold()


def _object(reason: str, field: str, text: str) -> Objection:
    shown = shorten(text, 80)
    message = f"the {field} is a placeholder: {shown!r}"
    return Objection(reason, message, {"field": field, "text": shown})
