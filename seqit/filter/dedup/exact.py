"""The rule against exact duplicates."""

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
    StatefulRule,
    TextField,
    byte_size,
    some_of,
)
from seqit.filter.text import fold
from seqit.records.record import Record

_KEY = (1 << 60) - 1  # the largest integers that Python keeps in 32 bytes


@dataclass
class ExactDuplicate(StatefulRule):
    """Reject a record whose fields equal those of an earlier one that passed.

    Stores 60 bits of XXH3 and the id of a record, not the text: 200 bytes per record, in a
    temporary file if all take more than `memory`. The probability of a hash collision is 4e-7 in a
    million different records, 4e-5 in ten million.
    """

    name: ClassVar[str] = "exact-duplicate"
    explanation: ClassVar[str] = (
        "An earlier record has the same text in these fields, regardless of case and white space; "
        "the first stays. With the instruction, the system message, earlier turns and images count."
    )

    fields: Annotated[
        tuple[TextField, ...], OptionSpec("the fields that must be equal", some_of(*TEXT_FIELDS))
    ] = ("instruction", "input")
    memory: Annotated[
        int, OptionSpec("memory for keys and ids, above which they go to disk", byte_size)
    ] = ByteSize(400_000_000)

    def __post_init__(self) -> None:
        self._seen = SeenKeys(self.memory)
        # itemgetter takes half the time of a loop over the fields; the lambda returns a tuple for
        # one field, too.
        get_fields = itemgetter(*self.fields)
        self._texts = get_fields if len(self.fields) > 1 else lambda record: (get_fields(record),)

    def key(self, record: Record) -> int:
        """Return a 60-bit hash of the text of the fields."""
        # Joined, so that a task is the same whether its input is separate or in the instruction.
        text = fold("".join(self._texts(record)))
        if "instruction" in self.fields:
            text += prompt_context(record)
        return xxh3_64_intdigest(text) & _KEY

    def compare(self, key: int, record_id: str) -> Rejection | None:
        """Return a rejection with the id of the record that stays."""
        kept = self._seen.get(key)
        if kept is None:
            return None
        what = " and ".join(self.fields)
        message = f"the {what} are those of record {kept}, which came first and stays"
        return Rejection("duplicate", message, {"duplicate_of": kept, "fields": list(self.fields)})

    def remember(self, key: int, record_id: str) -> None:
        """Store the key of a record that passed."""
        self._seen.add(key, record_id)


def prompt_context(record: Record) -> bytes:
    """Return what else is in the prompt: one question about two images is two questions."""
    if "system" in record or "history" in record or "images" in record:
        context = (record.get("system"), record.get("history"), record.get("images"))
        # A line break is white space, so no folded text contains one.
        return f"\n{context!r}".encode("utf-8", "surrogatepass")
    return b""
