"""A rule about records that came before."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, ClassVar

from xxhash import xxh3_64_intdigest

from seqit.filter.dedup.seen_keys import SeenKeys
from seqit.filter.rule import (
    TEXT_FIELDS,
    ByteSize,
    OptionSpec,
    Rejection,
    RememberingRule,
    TextField,
    size,
    some_of,
)
from seqit.filter.text import fold
from seqit.records.record import Record

_KEY = (1 << 60) - 1  # the largest integers that Python keeps in 32 bytes


@dataclass
class ExactDuplicate(RememberingRule):
    """Object to a record whose fields equal those of an earlier one that passed.

    Keeps 60 bits of XXH3 and the id of a record, not the text: 200 bytes a record, and where all
    take more than `memory`, they go to a temporary file. In a million different records, the
    probability that one is taken for another is 4e-7; in ten million, 4e-5.
    """

    name: ClassVar[str] = "exact-duplicate"
    explanation: ClassVar[str] = (
        "An earlier record has the same text in these fields, case and white space aside; the "
        "first stays. With the instruction, the system message, earlier turns and images count."
    )

    fields: Annotated[
        tuple[TextField, ...], OptionSpec("the fields that must be equal", some_of(*TEXT_FIELDS))
    ] = ("instruction", "input")
    memory: Annotated[
        int, OptionSpec("what keys and ids may take before they go to the disk", size)
    ] = ByteSize(400_000_000)

    def __post_init__(self) -> None:
        self._seen = SeenKeys(self.memory)
        # A tuple of texts also for one field, which itemgetter alone does not make of it; and at
        # half the cost of a loop over the fields.
        get = itemgetter(*self.fields)
        self._texts = get if len(self.fields) > 1 else lambda record: (get(record),)

    def key(self, record: Record) -> int:
        """Return 60 bits that stand for the text of the fields."""
        # One text, so that a task is the same with its input apart and with it in the instruction.
        text = fold("".join(self._texts(record)))
        if "instruction" in self.fields:
            text += context_of(record)
        return xxh3_64_intdigest(text) & _KEY

    def compare(self, key: int, record_id: str) -> Rejection | None:
        """Return an objection with the id of the record that stays."""
        kept = self._seen.get(key)
        if kept is None:
            return None
        what = " and ".join(self.fields)
        message = f"the {what} are those of record {kept}, which came first and stays"
        return Rejection("duplicate", message, {"duplicate_of": kept, "fields": list(self.fields)})

    def remember(self, key: int, record_id: str) -> None:
        """Take note of a record that passed."""
        self._seen.add(key, record_id)


def context_of(record: Record) -> bytes:
    """Return what else the model sees: one question about two images is two questions."""
    if "system" in record or "history" in record or "images" in record:
        context = (record.get("system"), record.get("history"), record.get("images"))
        # A line break is white space, so that no folded text holds one.
        return f"\n{context!r}".encode("utf-8", "surrogatepass")
    return b""
