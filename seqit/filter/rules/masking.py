"""Rules about texts that should not be in training data: personal data and secrets."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from seqit.checks import record_problems
from seqit.filter.rule import MaskingRule, OptionSpec, Rejection, masked, one_of, some_of
from seqit.filter.rules import credentials, personal
from seqit.filter.rules.personal import SensitiveSpan
from seqit.records.record import Record

_WHERE = ("instruction", "input", "output", "system", "history", "steps", "metadata")
"""The parts of a record that hold texts of the data; ids, lineage and files' names are no such."""

_SHOWN = 8  # findings that the evidence names
_LEGIBLE = 4  # characters of each: enough to find it, too few to use it


@dataclass
class HidingRule(MaskingRule):
    """Object to a record that holds what should be hidden, or put a mark of its kind there.

    A masked record has another content and so another id; its old one is lineage.parent. Where
    masking would make a step's answer wrong, the record is rejected.
    """

    what: ClassVar[str]

    action: Annotated[
        str, OptionSpec("drop the record, or mask what is found in it", one_of("drop", "mask"))
    ] = "drop"

    @abstractmethod
    def find(self, text: str) -> list[SensitiveSpan]:
        """Return what must not be in the text, in order, without overlaps."""

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection named after the first thing found, or `mask-breaks-check`."""
        if not self._may_hold(record):
            return None
        found = [
            (place, each.kind, text[each.start : each.end])
            for part in _WHERE
            for place, text in _texts(part, record.get(part))
            for each in self.find(text)
        ]
        if not found:
            return None
        shown = [
            {"field": place, "kind": kind, "begins": text[:_LEGIBLE]}
            for place, kind, text in found[:_SHOWN]
        ]
        evidence = {"found": shown, "count": len(found)}
        place, kind, _ = found[0]
        if self.action == "drop":
            return Rejection(kind, f"the {place} holds {self.what} ({kind})", evidence)
        if "steps" not in record or record_problems(record):
            return None
        if problems := record_problems(self.mask(record)):
            step, problem = problems[0]
            message = f"with the {self.what} masked, steps[{step}] would not hold: {problem}"
            return Rejection("mask-breaks-check", message, evidence)
        return None

    def mask(self, record: Record) -> Record:
        """Return the record with ``[KIND]`` in the place of all that is found."""
        if self.action == "drop" or not self._may_hold(record):
            return record
        parts = {part: self._masked(record.get(part)) for part in _WHERE if part in record}
        changes = {part: value for part, value in parts.items() if value != record.get(part)}
        return masked(record, changes) if changes else record

    def _may_hold(self, record: Record) -> bool:
        """Tell whether anything is found in all texts together: one search, and mostly the last."""
        texts = [record["instruction"], record["input"], record["output"]]
        if record.keys() & {"system", "history", "steps", "metadata"}:
            texts += [text for part in _WHERE[3:] for _, text in _texts(part, record.get(part))]
        return bool(self.find("\n".join(texts)))

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            for each in reversed(self.find(value)):
                value = f"{value[: each.start]}[{each.kind.upper()}]{value[each.end :]}"
            return value
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        return value


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text of a part of a record, with its place: ``steps[0].output``."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(f"{place}[{number}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}", item)


@dataclass
class Pii(HidingRule):
    """Object to, or mask, e-mail addresses, phone numbers, cards, bank accounts, IP addresses."""

    name: ClassVar[str] = "pii"
    explanation: ClassVar[str] = (
        "A text holds personal data that has a shape: e-mail addresses, phone numbers with a "
        "country code or in the usual groups, payment cards and IBANs with right check digits. "
        "Addresses and numbers kept for examples (example.com, 555-0100) are none."
    )
    what: ClassVar[str] = "personal data"

    kinds: Annotated[tuple[str, ...], OptionSpec("what is sought", some_of(*personal.FINDERS))] = (
        "email",
        "phone",
        "card",
        "iban",
    )

    def find(self, text: str) -> list[SensitiveSpan]:
        """Return the personal data in a text."""
        return personal.find(text, self.kinds)


@dataclass
class Secrets(HidingRule):
    """Object to, or mask, keys, tokens and passwords that can be told by their shape."""

    name: ClassVar[str] = "secrets"
    explanation: ClassVar[str] = (
        "A text holds a private key, an API key or token of a known shape (OpenAI, AWS, Google, "
        "GitHub, GitLab, Slack, Stripe, Hugging Face, npm, JWT), or a URL with a password; "
        "stand-ins such as sk-your-key pass."
    )
    what: ClassVar[str] = "a secret"

    kinds: Annotated[tuple[str, ...], OptionSpec("what is sought", some_of(*credentials.KINDS))] = (
        credentials.KINDS
    )

    def find(self, text: str) -> list[SensitiveSpan]:
        """Return the secrets in a text."""
        return credentials.find(text, self.kinds)
