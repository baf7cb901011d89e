"""A rule about records that say nearly the same as one that came before, or that is in a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import orjson

from seqit.engine.spill import Spill
from seqit.filter.dedup.exact import context_of
from seqit.filter.dedup.hash_tables import TableMatch
from seqit.filter.dedup.lsh import Index, Key
from seqit.filter.dedup.minhash import bands_for, estimate, least_equal, sketcher
from seqit.filter.dedup.shingles import jaccard, pack, shingler, unpack
from seqit.filter.rule import (
    TEXT_FIELDS,
    ByteSize,
    OptionSpec,
    Rejection,
    RememberingRule,
    TextField,
    files,
    size,
    some_of,
)
from seqit.records.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_THRESHOLD = 0.1
_AT_ONCE = 256  # records of a file


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _LEAST_THRESHOLD <= value <= 1:
        raise ValueError(f"a number from {_LEAST_THRESHOLD} to 1")
    return value


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100):
        raise ValueError("a whole number from 1 to 100")
    return int(text)


def _rows(table: "NDArray[Any]") -> Iterator[bytes]:
    """Yield the bytes of each row."""
    data, width = table.tobytes(), table.shape[1] * table.itemsize
    return (data[start : start + width] for start in range(0, len(data), width))


@dataclass
class NearDuplicate(RememberingRule):
    """Object to a record that shares most of its shingles with an earlier one that passed.

    MinHash and banding find the earlier records that may be similar enough (a pair at the
    threshold is found with 99 %, more similar ones with more); the Jaccard index of their
    shingles, 32-bit hashes kept in a temporary file, decides. A record takes 350 bytes of memory,
    and where all take more than `memory`, their tables go to the temporary file, too.
    """

    name: ClassVar[str] = "near-duplicate"
    explanation: ClassVar[str] = (
        "An earlier record, or one of the files `against`, shares nearly all runs of 5 words with "
        "it (the Jaccard index of the sets, computed exactly); the first stays. A long text with "
        "one number changed is a near-duplicate. With the instruction, the system message, "
        "earlier turns and images must be equal."
    )

    fields: Annotated[
        tuple[TextField, ...],
        OptionSpec("the fields that are compared, as one text", some_of(*TEXT_FIELDS)),
    ] = ("instruction", "input")
    threshold: Annotated[
        float, OptionSpec("the least Jaccard index of a near-duplicate", _threshold)
    ] = 0.8
    ngram: Annotated[
        int,
        OptionSpec(
            "words in a run; characters in scripts without spaces, as Chinese or Thai", _length
        ),
    ] = 5
    against: Annotated[
        tuple[str, ...] | None,
        OptionSpec("files of records that count as earlier ones, joined by '+'", files),
    ] = None
    memory: Annotated[
        int, OptionSpec("what the tables of records may take before they go to the disk", size)
    ] = ByteSize(400_000_000)

    def __post_init__(self) -> None:
        self._texts = itemgetter(*self.fields)
        self._shingles = shingler(self.ngram)
        self._sketch = sketcher(self.threshold)
        self._spill = Spill()
        bands, _ = bands_for(self.threshold)
        self._index = Index(bands, least_equal(self.threshold), self.memory, self._spill)
        if self.against:
            from seqit.stores.sources import check_sources

            check_sources(self.against)
        self._unread = list(self.against or ())
        self._against = 0

    def key(self, record: Record) -> Key | None:
        """Return the record's shingles and their sketch; None where the fields hold no word."""
        return self.keys([record])[0]

    def keys(self, records: Sequence[Record]) -> list[Key | None]:
        """Return the same of each record, at a fraction of the cost."""
        texts = map(self._texts, records)
        joined = [each if isinstance(each, str) else "\n".join(each) for each in texts]
        has_context = "instruction" in self.fields
        contexts = [context_of(record) if has_context else b"" for record in records]
        shingles = self._shingles(joined, contexts)
        sketches = self._sketch(shingles)
        bands, signatures = _rows(sketches.keys), _rows(sketches.signatures)
        packed = pack(shingles.hashes)
        found: list[Key | None] = []
        start = 0
        for end in (shingles.ends * 4).tolist():
            shown = packed[start:end]
            found.append(Key(next(bands), next(signatures), shown) if shown else None)
            start = end
        return found

    def look_up(self, keys: Sequence[Key | None]) -> None:
        """Read the files, once, and find the earlier records of all keys together."""
        while self._unread:
            self._read(self._unread.pop(0))
        self._index.look_up([key for key in keys if key])

    def compare(self, key: Key | None, record_id: str) -> Rejection | None:
        """Return an objection with the record that stays, and how similar both are."""
        if key is None:
            return None
        mine: set[int] | None = None
        for found in self._index.find(key):
            mine = mine or unpack(key.shingles)
            theirs, kept, file = self._recall(found)
            exact = jaccard(mine, theirs)
            if exact >= self.threshold:
                return self._objection(kept, file, estimate(found.equal), exact)
        return None

    def remember(self, key: Key | None, record_id: str) -> None:
        """Take note of a record that passed."""
        self._take_in(key, record_id)

    def facts(self) -> dict[str, int]:
        """Return how many records the files hold."""
        return {"against": self._against} if self.against else {}

    def _take_in(self, key: Key | None, record_id: str, file: str | None = None) -> None:
        if key is None:
            return
        label = orjson.dumps((record_id, file))
        data = len(label).to_bytes(4, "little") + label + key.shingles
        self._index.add(key, self._spill.append(data), len(data))

    def _recall(self, entry: TableMatch) -> tuple[set[int], str, str | None]:
        """Return the shingles of an earlier record, its id and the file that it is in."""
        data = self._spill.read(entry.place, entry.size)
        end = 4 + int.from_bytes(data[:4], "little")
        kept, file = orjson.loads(data[4:end])
        return unpack(data[end:]), kept, file

    def _objection(self, kept: str, file: str | None, estimated: float, exact: float) -> Rejection:
        what = f"runs of {self.ngram} words in the {' and '.join(self.fields)}"
        where = f"{kept} of {file}" if file else f"{kept}, which came first and stays"
        message = (
            f"{exact:.1%} of the {what} are common to it and record {where}; "
            f"the limit is {self.threshold:.1%}"
        )
        evidence: dict[str, Any] = {"duplicate_of": kept, "fields": list(self.fields)}
        if file:
            evidence["file"] = file
        evidence |= {"jaccard": round(exact, 4), "estimated_jaccard": round(estimated, 4)}
        return Rejection("near-duplicate", message, evidence)

    def _read(self, name: str) -> None:
        """Take in the records of a file; raises SeqitError at the first that is none."""
        from seqit.records.readers.rows import read_records
        from seqit.records.run_stats import RunStats

        rows = read_records([name], RunStats("near-duplicate", strict=True))
        while records := [row.value for row in islice(rows, _AT_ONCE)]:
            keys = self.keys(records)
            self._index.look_up([key for key in keys if key])
            for key, record in zip(keys, records, strict=True):
                self._take_in(key, record["id"], name)
            self._against += len(records)
