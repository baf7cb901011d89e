"""Rules that drop or mask what should not be in training data: personal data and secrets."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from seqit.checks import record_problems
from seqit.filter.rule import MaskingRule, OptionSpec, Rejection, one_of, replace_texts, some_of
from seqit.filter.rules import credentials, personal
from seqit.filter.rules.personal import SensitiveSpan
from seqit.records.record import Record

_TEXT_PARTS = ("instruction", "input", "output", "system", "history", "steps", "metadata")
"""The parts of a record with texts of the data; ids, lineage and file names are not searched."""

_MAX_SHOWN = 8  # findings that the evidence names
_MAX_PREFIX = 4  # characters shown of each finding: enough to find it, too few to use it


@dataclass
class SensitiveDataRule(MaskingRule):
    """Reject a record with sensitive data, or mask these by their kind.

    A masked record has new content and so a new id; its old one is lineage.parent. A record is
    rejected if masking would make a step's answer fail its check.
    """

    label: ClassVar[str]

    action: Annotated[
        str, OptionSpec("drop the record, or mask the findings in it", one_of("drop", "mask"))
    ] = "drop"

    @abstractmethod
    def find(self, text: str) -> list[SensitiveSpan]:
        """Return the sensitive spans of a text, in order, without overlaps."""

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection named after the first thing found, or `mask-breaks-check`."""
        if not self._may_match(record):
            return None
        found = [
            (place, span.kind, text[span.start : span.end])
            for part in _TEXT_PARTS
            for place, text in _texts(part, record.get(part))
            for span in self.find(text)
        ]
        if not found:
            return None
        shown = [
            {"field": place, "kind": kind, "begins": text[:_MAX_PREFIX]}
            for place, kind, text in found[:_MAX_SHOWN]
        ]
        evidence = {"found": shown, "count": len(found)}
        place, kind, _ = found[0]
        if self.action == "drop":
            return Rejection(kind, f"the {place} holds {self.label} ({kind})", evidence)
        if "steps" not in record or record_problems(record):
            return None
        if problems := record_problems(self.mask(record)):
            step, problem = problems[0]
            message = f"with the {self.label} masked, steps[{step}] would not hold: {problem}"
            return Rejection("mask-breaks-check", message, evidence)
        return None

    def mask(self, record: Record) -> Record:
        """Return the record with each finding replaced by ``[KIND]``."""
        if self.action == "drop" or not self._may_match(record):
            return record
        parts = {part: self._mask_value(record.get(part)) for part in _TEXT_PARTS if part in record}
        changes = {part: value for part, value in parts.items() if value != record.get(part)}
        return replace_texts(record, changes) if changes else record

    def _may_match(self, record: Record) -> bool:
        """Return whether the joined texts have a finding: mostly the only search per record."""
        texts = [record["instruction"], record["input"], record["output"]]
        if record.keys() & {"system", "history", "steps", "metadata"}:
            texts += [
                text for part in _TEXT_PARTS[3:] for _, text in _texts(part, record.get(part))
            ]
        return bool(self.find("\n".join(texts)))

    def _mask_value(self, value: Any) -> Any:
        if isinstance(value, str):
            for span in reversed(self.find(value)):
                value = f"{value[: span.start]}[{span.kind.upper()}]{value[span.end :]}"
            return value
        if isinstance(value, list):
            return [self._mask_value(item) for item in value]
        if isinstance(value, dict):
            return {key: self._mask_value(item) for key, item in value.items()}
        return value


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text of a part of a record, with its path: ``steps[0].output``."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(f"{place}[{number}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}", item)


@dataclass
class Pii(SensitiveDataRule):
    """Reject or mask e-mail addresses, phone numbers, cards, bank accounts, IP addresses."""

    name: ClassVar[str] = "pii"
    explanation: ClassVar[str] = (
        "A text contains personal data of a known format: e-mail addresses, phone numbers with a "
        "country code or in the usual groups, payment cards and IBANs with valid check digits. "
        "Addresses and numbers reserved for examples (example.com, 555-0100) pass."
    )
    label: ClassVar[str] = "personal data"

    kinds: Annotated[tuple[str, ...], OptionSpec("what to find", some_of(*personal.FINDERS))] = (
        "email",
        "phone",
        "card",
        "iban",
    )

    def find(self, text: str) -> list[SensitiveSpan]:
        """Return the personal data in a text."""
        return personal.find(text, self.kinds)


@dataclass
class Secrets(SensitiveDataRule):
    """Reject or mask keys, tokens and passwords that are recognizable by their format."""

    name: ClassVar[str] = "secrets"
    explanation: ClassVar[str] = (
        "A text contains a private key, an API key or token of a known format (OpenAI, AWS, "
        "Google, GitHub, GitLab, Slack, Stripe, Hugging Face, npm, JWT), or a URL with a password; "
        "placeholders such as sk-your-key pass."
    )
    label: ClassVar[str] = "a secret"

    kinds: Annotated[tuple[str, ...], OptionSpec("what to find", some_of(*credentials.KINDS))] = (
        credentials.KINDS
    )

    def find(self, text: str) -> list[SensitiveSpan]:
        """Return the secrets in a text."""
        return credentials.find(text, self.kinds)
