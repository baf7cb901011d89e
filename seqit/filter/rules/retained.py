"""The rule about chains that lost content of the record they were made from."""

from array import array
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import orjson
from xxhash import xxh3_64_intdigest

from seqit.checks.retained import LostContent, lost_content
from seqit.engine.spill import Spill
from seqit.errors import UsageError
from seqit.filter.rule import CountingRule, OptionSpec, Rejection, boolean, file_names
from seqit.records.readers.rows import read_records
from seqit.records.record import Record
from seqit.records.run_stats import RunStats
from seqit.records.validation import shorten
from seqit.stores.sources import check_sources

CHAINS = ("decompose", "prefix", "suffix")
"""The operations that add to an instruction; the others may rewrite it entirely."""

_MAX_SHOWN = 8  # lost items in the message and the evidence


class Origin(NamedTuple):
    """What a chain was made from: the parent, or the seed if only that is known."""

    role: str
    record_id: str
    instruction: str
    input: str


@dataclass
class Retained(CountingRule):
    """Reject a chain that lacks content of its parent's instruction or input.

    The check is the same as in augment (seqit.checks.retained). A chain whose parent is not in the
    files is compared with its seed. If both are unknown it passes and is counted as
    `unknown-parent`, or is rejected if `strict`. Texts are stored on disk; memory: 100 bytes per
    record of `against`.
    """

    name: ClassVar[str] = "retained"
    explanation: ClassVar[str] = (
        "A chain (decompose, prefix, suffix) lacks numbers, code, tables, options, quotations or "
        "wording of the record it was made from, found in `against` by lineage.parent or root."
    )

    against: Annotated[
        tuple[str, ...] | None,
        OptionSpec("the parents or seeds: files joined by '+'; required", file_names),
    ] = None
    strict: Annotated[
        bool, OptionSpec("whether a chain whose parent and seed are unknown is rejected", boolean)
    ] = False
    _origins: "_OriginStore" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.against:
            raise UsageError("rule 'retained': name the seeds or parents: against=FILE")
        self._origins = _OriginStore(self.against)

    def extra_counts(self) -> dict[str, int]:
        """Return how many parents and seeds are known."""
        return {"known": len(self._origins)}

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection, `content-lost`, with what is missing."""
        if record["lineage"]["operation"] not in CHAINS:
            return None
        origin = self._origins.find_origin(record)
        if origin is None:
            return _unknown(record) if self.strict else None
        lost = _lost(record, origin)
        if not lost:
            return None
        texts = "; ".join(f"{item.kind} {shorten(item.text, 80)!r}" for item in lost[:_MAX_SHOWN])
        message = f"the chain lacks what its {origin.role} {origin.record_id} holds: {texts}"
        shown = [{"kind": item.kind, "text": shorten(item.text, 300)} for item in lost[:_MAX_SHOWN]]
        evidence = {origin.role: origin.record_id, "lost": shown, "count": len(lost)}
        return Rejection("content-lost", message, evidence)

    def counter_for(self, record: Record) -> str | None:
        """Return `unknown-parent` for a chain that could not be compared."""
        if record["lineage"]["operation"] not in CHAINS or self._origins.has_origin(record):
            return None
        return "unknown-parent"


def _lost(record: Record, origin: Origin) -> list[LostContent]:
    instruction, input_text = record["instruction"], record["input"]
    # Between a seed and its chain there may have been a decomposition.
    rephrased = origin.role == "root" or record["lineage"]["operation"] == "decompose"
    lost = lost_content(origin.instruction, instruction, input_text, rephrased=rephrased)
    if origin.input and origin.input != input_text:
        lost += lost_content(origin.input, input_text, instruction)
    return lost


def _unknown(record: Record) -> Rejection:
    searched = [record_id for _, record_id in _origin_ids(record)]
    message = f"{' and '.join(searched)}, of which the chain was made, are in none of the files"
    return Rejection("unknown-parent", message, {"sought": searched})


class _OriginStore:
    """Instruction and input of records by id."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._indices: dict[int, int] = {}  # hash of the id → index in _extents
        self._extents = array("Q")  # offset and size of each text in the spill
        self._texts = Spill()
        for row in read_records(check_sources(names), RunStats("retained", strict=True)):
            record: Any = row.value
            key = _key(record["id"])
            if key not in self._indices:
                texts = orjson.dumps([record["instruction"], record["input"]])
                self._indices[key] = len(self._extents)
                self._extents.extend((self._texts.append(texts), len(texts)))

    def __len__(self) -> int:
        return len(self._indices)

    def has_origin(self, record: Record) -> bool:
        return any(_key(record_id) in self._indices for _, record_id in _origin_ids(record))

    def find_origin(self, record: Record) -> Origin | None:
        """Return the parent of a chain, else its seed; None if both are unknown."""
        for role, record_id in _origin_ids(record):
            index = self._indices.get(_key(record_id))
            if index is not None:
                texts = orjson.loads(self._texts.read(*self._extents[index : index + 2]))
                return Origin(role, record_id, *texts)
        return None


def _origin_ids(record: Record) -> list[tuple[str, str]]:
    lineage = record["lineage"]
    found = [("parent", lineage["parent"])] if "parent" in lineage else []
    return [*found, ("root", lineage["root"])]


def _key(record_id: str) -> int:
    return xxh3_64_intdigest(record_id.encode("utf-8", "surrogatepass"))
