"""What a rule is: one name, its parameters, and one method that may object to a record."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

from seqit.records.identity import with_id
from seqit.records.record import Record

TextField = Literal["instruction", "input", "output"]
TEXT_FIELDS: tuple[TextField, ...] = get_args(TextField)


class Rejection(NamedTuple):
    """Why a record shall not pass: a name to group by, a sentence, and what was found."""

    reason: str
    message: str
    evidence: dict[str, Any]


class OptionSpec(NamedTuple):
    """What a parameter means and how its text is read; it annotates a field of a rule.

    `read` raises ValueError, saying what was expected, for a text that it cannot use.
    """

    meaning: str
    read: Callable[[str], Any]


class Parameter(NamedTuple):
    """One parameter of a rule, as `Rule.parameters` finds it."""

    name: str
    default: Any
    option: OptionSpec


@dataclass
class Rule(ABC):
    """One rule of the filter; a subclass is a dataclass whose fields are its parameters.

    A parameter is written ``max_words: Annotated[int, OptionSpec("most words", whole_number)] = 512``.
    """

    name: ClassVar[str]
    explanation: ClassVar[str]

    @abstractmethod
    def judge(self, record: Record) -> Rejection | None:
        """Return why the record shall not pass; None where there is nothing to object to."""

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """Return what a user may set: the fields annotated with an OptionSpec."""
        return [
            Parameter(entry.name, entry.default, option)
            for entry in fields(cls)
            for option in get_args(entry.type)
            if isinstance(option, OptionSpec)
        ]

    def facts(self) -> dict[str, int]:
        """Return numbers about what the rule works with, to stand beside its counts."""
        return {}

    def __str__(self) -> str:
        """Return the rule as a user would write it, the parameters left at default omitted."""
        given = [
            f"{name}={written(value)}"
            for name, default, _ in self.parameters()
            if (value := getattr(self, name)) != default
        ]
        return f"{self.name}:{','.join(given)}" if given else self.name


class RememberingRule(Rule):
    """A rule whose verdict depends on the records that passed before.

    What it looks at, the key, depends on one record alone: it may be made in another process.
    `remember` is called for a record that all rules let pass, and for no other.
    """

    @abstractmethod
    def key(self, record: Record) -> Any:
        """Return what of the record is compared with earlier ones; it can be pickled."""

    def keys(self, records: Sequence[Record]) -> list[Any]:
        """Return the keys of records, which may cost less together than each by itself."""
        return [self.key(record) for record in records]

    def look_up(self, keys: Sequence[Any]) -> None:
        """Hear which keys `compare` is to be asked about next, to look for them together."""

    @abstractmethod
    def compare(self, key: Any, record_id: str) -> Rejection | None:
        """Return why the record with this key shall not pass."""

    @abstractmethod
    def remember(self, key: Any, record_id: str) -> None:
        """Take note of a record that passed."""

    def judge(self, record: Record) -> Rejection | None:
        """Return why the record shall not pass, given those before; remember it if none."""
        key = self.key(record)
        self.look_up([key])
        objection = self.compare(key, record["id"])
        if objection is None:
            self.remember(key, record["id"])
        return objection


class MaskingRule(Rule):
    """A rule that may also change a record: it puts something else in the place of what it finds.

    Records that no rule objects to are masked, in the order of the rules, before the rules that
    remember see them: what these compare is what is written.
    """

    @abstractmethod
    def mask(self, record: Record) -> Record:
        """Return the record without what it must not hold; the record itself where nothing is."""


class RemarkingRule(Rule):
    """A rule that counts something about records that pass."""

    @abstractmethod
    def remark(self, record: Record) -> str | None:
        """Return the name to count a record under that the rule let pass; None for no count."""


def masked(record: Record, changes: dict[str, Any]) -> Record:
    """Return the record with other texts: under the id of its new content, its old one as parent.

    The root stays, so that what was made from one seed remains together.
    """
    lineage = record["lineage"] | {"parent": record["id"]}
    return with_id(cast(Record, {**record, **changes, "lineage": lineage}))


def written(value: Any) -> str:
    """Return a parameter's value as a user writes it: ``512``, ``instruction+input``, ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(value) if isinstance(value, tuple) else str(value)


def whole_number(text: str) -> int:
    """Read a count: 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a whole number, 0 or more")
    return int(text)


def positive_number(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number above 0")
    return value


def proportion(text: str) -> float:
    """Read a proportion: above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ValueError("a number above 0, at most 1")
    return value


def yes_or_no(text: str) -> bool:
    """Read ``true`` or ``false``."""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


class ByteSize(int):
    """Bytes, as a user writes them: ``400MB``."""

    def __str__(self) -> str:
        unit, size = next((unit, size) for unit, size in _SIZES.items() if self >= size)
        return f"{self / size:g}{unit}"


_SIZES = {"GB": 10**9, "MB": 10**6}


def size(text: str) -> ByteSize:
    """Read bytes of memory: 1MB or more."""
    number, unit = text[:-2], _SIZES.get(text[-2:])
    try:
        value = ByteSize(float(number) * unit) if unit and number[:1].isdigit() else ByteSize(0)
    except (ValueError, OverflowError):
        value = ByteSize(0)
    if value < _SIZES["MB"]:
        raise ValueError("a size such as 400MB or 2GB, 1MB or more")
    return value


def files(text: str) -> tuple[str, ...]:
    """Read names of files joined by ``+``; standard input holds the rows to be judged."""
    names = tuple(text.split("+"))
    if not all(names) or "-" in names:
        raise ValueError("one file or more, joined by '+'; standard input is none")
    return names


def one_of(*names: str) -> Callable[[str], str]:
    """Return a reader of exactly one of the names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return text

    return read


def some_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of names joined by ``+``, as in ``instruction+input``."""

    def read(text: str) -> tuple[str, ...]:
        chosen = text.split("+")
        if not set(chosen) <= set(names) or len(set(chosen)) < len(chosen):
            raise ValueError(f"one or more of {', '.join(names)}, joined by '+'")
        return tuple(chosen)

    return read
