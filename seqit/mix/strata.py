"""Strata: the values of one field of the records, and the share of each in the mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

import orjson

from seqit.errors import UsageError
from seqit.records.record import RECORD_KEYS, Operation, Record
from seqit.records.validation import did_you_mean

FIELDS = {
    "operation": "lineage.operation",
    "iteration": "lineage.iteration",
    "method": "lineage.method",
    "language": "metadata.language",
    "source": "source.name",
}
"""Short names of fields; any other field is written as a dotted path."""

NONE, OTHERS = "none", "*"
"""Records without the field; and, in a list of shares, all values that are not listed."""

OPERATION = ["lineage", "operation"]
OPERATIONS = get_args(Operation)

MAX_STRATA = 1000


@dataclass(frozen=True, slots=True)
class Strata:
    """Divides a mixture by a field of the records.

    by: the field, as a short name or dotted path. shares: a weight for each value, relative to the
    others; `*` stands for all values that are not listed, which are left out without it. None:
    equal shares. Raises UsageError for a field that no record can have.
    """

    by: str
    shares: Mapping[str, Fraction] | None = None

    def __post_init__(self) -> None:
        key = self.path[0]
        if key not in RECORD_KEYS:
            names = [*FIELDS, *RECORD_KEYS]
            raise UsageError(
                f"No record has a field {self.by!r}{did_you_mean(key, names)}. Divide by one of "
                f"{', '.join(FIELDS)}, or by a field such as lineage.teacher or metadata.topic."
            )
        for value in self.shares or ():
            if self.path == OPERATION and value not in (*OPERATIONS, OTHERS):
                raise UsageError(
                    f"There is no operation {value!r}{did_you_mean(value, [*OPERATIONS])}; there "
                    f"are {', '.join(OPERATIONS)}."
                )
        if self.shares is not None and not any(self.shares.values()):
            raise UsageError(f"No value of {self.by} has a share above 0.")

    @property
    def path(self) -> list[str]:
        return FIELDS.get(self.by, self.by).split(".")

    def stratum_of(self, record: Record) -> str:
        """Return the stratum of a record."""
        value: Any = record
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            text = NONE
        else:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
        return text if self.shares is None or text in self.shares else OTHERS

    def weight(self, stratum: str) -> Fraction:
        return Fraction(1) if self.shares is None else self.shares.get(stratum, Fraction(0))

    def names(self, found: set[str]) -> list[str]:
        """Return all strata, requested or found, in an order that is the same on every machine."""
        return sorted(found | set(self.shares or ()))
