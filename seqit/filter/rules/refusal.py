"""The rule about refusals and answers in which the model refers to itself."""

import re
from dataclasses import dataclass
from typing import ClassVar

from seqit.filter.rule import Rejection, Rule
from seqit.records.record import Record
from seqit.records.validation import shorten

_CANNOT = r"i (?:can(?:no|['’])?t|can not|am (?:not able|unable)|won['’]?t|will not)"
_SORRY = r"(?:i['’]?m |i am )?(?:so |very )?(?:sorry|i apologi[sz]e|apologies|unfortunately)\b"
_REFUSAL = re.compile(
    rf"{_SORRY}.{{0,40}}?\b{_CANNOT}\b"
    rf"|{_CANNOT} (?:to )?(?:assist|help|provide|fulfil|comply|answer|do that|engage|support)",
    re.IGNORECASE | re.DOTALL,
)
_SELF_REFERENCE = re.compile(
    rf"(?:{_SORRY},? (?:but )?)?(?:as|i['’]?m(?: just)?|i am(?: just)?)"
    r" an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    re.IGNORECASE,
)


@dataclass
class Refusal(Rule):
    """Reject an output that begins with a refusal or refers to itself as a model."""

    name: ClassVar[str] = "refusal"
    explanation: ClassVar[str] = (
        "The output begins with a refusal ('I'm sorry, but I cannot …') or with a reference to "
        "itself ('As an AI language model …'), in English."
    )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection, `refusal` or `self-reference`, with the beginning of the output."""
        output = record["output"].lstrip()
        for reason, pattern in (("refusal", _REFUSAL), ("self-reference", _SELF_REFERENCE)):
            if found := pattern.match(output):
                text = shorten(" ".join(output[: found.end() + 40].split()), 80)
                return Rejection(reason, f"the output begins {text!r}", {"text": text})
        return None
