"""The base classes of filter rules, and the parsers of their parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

from seqit.records.identity import with_id
from seqit.records.record import Record

TextField = Literal["instruction", "input", "output"]
TEXT_FIELDS: tuple[TextField, ...] = get_args(TextField)


class Rejection(NamedTuple):
    """Why a record is rejected: a reason code to group by, a sentence, and the evidence."""

    reason: str
    message: str
    evidence: dict[str, Any]


class OptionSpec(NamedTuple):
    """Help text and parser of a parameter; annotates a field of a rule.

    `parse` raises ValueError with what was expected if the text is invalid.
    """

    help: str
    parse: Callable[[str], Any]


class Parameter(NamedTuple):
    """One parameter of a rule, as returned by `Rule.parameters`."""

    name: str
    default: Any
    option: OptionSpec


@dataclass
class Rule(ABC):
    """Base class of filter rules; a subclass is a dataclass whose fields are its parameters.

    A parameter is a field such as
    ``max_words: Annotated[int, OptionSpec("most words", whole_number)] = 512``.
    """

    name: ClassVar[str]
    explanation: ClassVar[str]

    @abstractmethod
    def check(self, record: Record) -> Rejection | None:
        """Return why the record is rejected; None if it passes."""

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """Return the parameters of the rule: the fields annotated with an OptionSpec."""
        return [
            Parameter(entry.name, entry.default, option)
            for entry in fields(cls)
            for option in get_args(entry.type)
            if isinstance(option, OptionSpec)
        ]

    def extra_counts(self) -> dict[str, int]:
        """Return further numbers to report with the rule's counts, such as reference records."""
        return {}

    def __str__(self) -> str:
        """Return the rule as a user would write it, without parameters that have their default."""
        given = [
            f"{name}={format_value(value)}"
            for name, default, _ in self.parameters()
            if (value := getattr(self, name)) != default
        ]
        return f"{self.name}:{','.join(given)}" if given else self.name


class StatefulRule(Rule):
    """A rule whose decision depends on the records that passed before.

    What it compares, the key, depends on one record alone, so workers can compute it.
    `remember` is called only for records that pass all rules.
    """

    @abstractmethod
    def key(self, record: Record) -> Any:
        """Return what is compared with the keys of earlier records; must be picklable."""

    def keys(self, records: Sequence[Record]) -> list[Any]:
        """Return the keys of several records; override if a batch is cheaper than single calls."""
        return [self.key(record) for record in records]

    def prefetch(self, keys: Sequence[Any]) -> None:
        """Look up a batch of keys at once, before `compare` is called for each of them."""

    @abstractmethod
    def compare(self, key: Any, record_id: str) -> Rejection | None:
        """Return why the record with this key is rejected; None if it passes."""

    @abstractmethod
    def remember(self, key: Any, record_id: str) -> None:
        """Store the key of a record that passed."""

    def check(self, record: Record) -> Rejection | None:
        """Return why the record is rejected, given those before; remember it if it passes."""
        key = self.key(record)
        self.prefetch([key])
        rejection = self.compare(key, record["id"])
        if rejection is None:
            self.remember(key, record["id"])
        return rejection


class MaskingRule(Rule):
    """A rule that may also change a record, by replacing what it finds.

    Records that pass are masked in the order of the rules, before stateful rules see them, so
    that these compare what is written.
    """

    @abstractmethod
    def mask(self, record: Record) -> Record:
        """Return the record with all findings replaced; the same object if there are none."""


class CountingRule(Rule):
    """A rule that also counts some of the records that pass."""

    @abstractmethod
    def counter_for(self, record: Record) -> str | None:
        """Return the name of the counter that a passed record adds to; None for no counter."""


def replace_texts(record: Record, changes: dict[str, Any]) -> Record:
    """Return the record with changed texts, a new id, and its old id as parent.

    The root stays, so that all records of one seed remain in one group.
    """
    lineage = record["lineage"] | {"parent": record["id"]}
    return with_id(cast(Record, {**record, **changes, "lineage": lineage}))


def format_value(value: Any) -> str:
    """Format a parameter's value as a user writes it: ``512``, ``instruction+input``, ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(value) if isinstance(value, tuple) else str(value)


def whole_number(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a whole number, 0 or more")
    return int(text)


def positive_number(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number above 0")
    return value


def proportion(text: str) -> float:
    """Parse a proportion: above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ValueError("a number above 0, at most 1")
    return value


def boolean(text: str) -> bool:
    """Parse ``true`` or ``false``."""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


class ByteSize(int):
    """A number of bytes, written as ``400MB``."""

    def __str__(self) -> str:
        unit, size = next((unit, size) for unit, size in _UNITS.items() if self >= size)
        return f"{self / size:g}{unit}"


_UNITS = {"GB": 10**9, "MB": 10**6}


def byte_size(text: str) -> ByteSize:
    """Parse an amount of memory, 1MB or more."""
    number, unit = text[:-2], _UNITS.get(text[-2:])
    try:
        value = ByteSize(float(number) * unit) if unit and number[:1].isdigit() else ByteSize(0)
    except (ValueError, OverflowError):
        value = ByteSize(0)
    if value < _UNITS["MB"]:
        raise ValueError("a size such as 400MB or 2GB, 1MB or more")
    return value


def file_names(text: str) -> tuple[str, ...]:
    """Parse file names joined by ``+``; standard input is refused, since the rows come from it."""
    names = tuple(text.split("+"))
    if not all(names) or "-" in names:
        raise ValueError("one or more files joined by '+', and not standard input")
    return names


def one_of(*names: str) -> Callable[[str], str]:
    """Return a parser that accepts exactly one of the names."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return text

    return parse


def some_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of one or more of the names joined by ``+``: ``instruction+input``."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = text.split("+")
        if not set(chosen) <= set(names) or len(set(chosen)) < len(chosen):
            raise ValueError(f"one or more of {', '.join(names)}, joined by '+'")
        return tuple(chosen)

    return parse
