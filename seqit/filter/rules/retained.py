"""A rule about chains that lost something of the instruction that they were made from."""

from array import array
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import orjson
from xxhash import xxh3_64_intdigest

from seqit.checks.retained import LostContent, lost_content
from seqit.engine.spill import Spill
from seqit.errors import UsageError
from seqit.filter.rule import OptionSpec, Rejection, RemarkingRule, files, yes_or_no
from seqit.records.readers.rows import read_records
from seqit.records.record import Record
from seqit.records.run_stats import RunStats
from seqit.records.validation import shorten
from seqit.stores.sources import check_sources

CHAINS = ("decompose", "prefix", "suffix")
"""The operations that add to an instruction; the others may say it in a wholly new way."""

_SHOWN = 8  # lost things that the message and the evidence name


class Origin(NamedTuple):
    """What a chain was made from: the parent, or the seed where only that is known."""

    role: str
    record_id: str
    instruction: str
    input: str


@dataclass
class Retained(RemarkingRule):
    """Object to a chain that lacks what its parent's instruction or input holds.

    The check is the one that augment makes (seqit.checks.retained). A chain whose parent is not
    in the files is compared with its seed, one for which neither is there passes and is counted
    as `unknown-parent`, unless `strict`: the files are the user's choice, and a row is no worse
    for being there without its parent. Texts wait on disk; memory: 100 bytes a record of `against`.
    """

    name: ClassVar[str] = "retained"
    explanation: ClassVar[str] = (
        "A chain (decompose, prefix, suffix) lacks numbers, code, tables, options, quotations or "
        "wording of the record it was made from, found in `against` by lineage.parent or root."
    )

    against: Annotated[
        tuple[str, ...] | None,
        OptionSpec("the parents or seeds: files joined by '+'; needed", files),
    ] = None
    strict: Annotated[
        bool, OptionSpec("whether a chain whose parent and seed are unknown is rejected", yes_or_no)
    ] = False
    _known: "_Known" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.against:
            raise UsageError("rule 'retained': name the seeds or parents: against=FILE")
        self._known = _Known(self.against)

    def facts(self) -> dict[str, int]:
        """Return how many records chains are compared with."""
        return {"known": len(self._known)}

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection, `content-lost`, with what is lacking."""
        if record["lineage"]["operation"] not in CHAINS:
            return None
        origin = self._known.origin_of(record)
        if origin is None:
            return _unknown(record) if self.strict else None
        lost = _lost(record, origin)
        if not lost:
            return None
        texts = "; ".join(f"{each.kind} {shorten(each.text, 80)!r}" for each in lost[:_SHOWN])
        message = f"the chain lacks what its {origin.role} {origin.record_id} holds: {texts}"
        shown = [{"kind": each.kind, "text": shorten(each.text, 300)} for each in lost[:_SHOWN]]
        evidence = {origin.role: origin.record_id, "lost": shown, "count": len(lost)}
        return Rejection("content-lost", message, evidence)

    def remark(self, record: Record) -> str | None:
        """Return `unknown-parent` for a chain that could not be compared."""
        if record["lineage"]["operation"] not in CHAINS or self._known.has_origin(record):
            return None
        return "unknown-parent"


def _lost(record: Record, origin: Origin) -> list[LostContent]:
    instruction, given = record["instruction"], record["input"]
    # What lies between a seed and its chain is unknown: a decomposition may be among it.
    rephrased = origin.role == "root" or record["lineage"]["operation"] == "decompose"
    lost = lost_content(origin.instruction, instruction, given, rephrased=rephrased)
    if origin.input and origin.input != given:
        lost += lost_content(origin.input, given, instruction)
    return lost


def _unknown(record: Record) -> Rejection:
    sought = [record_id for _, record_id in _origins(record)]
    message = f"{' and '.join(sought)}, of which the chain was made, are in none of the files"
    return Rejection("unknown-parent", message, {"sought": sought})


class _Known:
    """Instruction and input of records by id."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._places: dict[int, int] = {}  # hash of the id → place and size in the file
        self._sizes = array("Q")
        self._texts = Spill()
        for row in read_records(check_sources(names), RunStats("retained", strict=True)):
            record: Any = row.value
            key = _key(record["id"])
            if key not in self._places:
                texts = orjson.dumps([record["instruction"], record["input"]])
                self._places[key] = len(self._sizes)
                self._sizes.extend((self._texts.append(texts), len(texts)))

    def __len__(self) -> int:
        return len(self._places)

    def has_origin(self, record: Record) -> bool:
        return any(_key(record_id) in self._places for _, record_id in _origins(record))

    def origin_of(self, record: Record) -> Origin | None:
        """Return the parent of a chain, else its seed; None where both are unknown."""
        for role, record_id in _origins(record):
            number = self._places.get(_key(record_id))
            if number is not None:
                texts = orjson.loads(self._texts.read(*self._sizes[number : number + 2]))
                return Origin(role, record_id, *texts)
        return None


def _origins(record: Record) -> list[tuple[str, str]]:
    lineage = record["lineage"]
    found = [("parent", lineage["parent"])] if "parent" in lineage else []
    return [*found, ("root", lineage["root"])]


def _key(record_id: str) -> int:
    return xxh3_64_intdigest(record_id.encode("utf-8", "surrogatepass"))
