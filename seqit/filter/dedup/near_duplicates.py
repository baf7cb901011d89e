"""The rule against near-duplicates of earlier records, or of records in other files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import orjson

from seqit.engine.spill import Spill
from seqit.filter.dedup.exact import prompt_context
from seqit.filter.dedup.hash_tables import TableMatch
from seqit.filter.dedup.lsh import LshIndex, MinHashKey
from seqit.filter.dedup.minhash import bands_for, estimate_jaccard, min_equal_slots, sketcher
from seqit.filter.dedup.shingles import jaccard, pack, shingler, unpack
from seqit.filter.rule import (
    TEXT_FIELDS,
    ByteSize,
    OptionSpec,
    Rejection,
    StatefulRule,
    TextField,
    byte_size,
    file_names,
    some_of,
)
from seqit.records.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_THRESHOLD = 0.1
_BATCH_SIZE = 256  # records read at once from the files of `against`


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _MIN_THRESHOLD <= value <= 1:
        raise ValueError(f"a number from {_MIN_THRESHOLD} to 1")
    return value


def _ngram_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100):
        raise ValueError("a whole number from 1 to 100")
    return int(text)


def _row_bytes(table: "NDArray[Any]") -> Iterator[bytes]:
    """Yield the bytes of each row."""
    data, width = table.tobytes(), table.shape[1] * table.itemsize
    return (data[start : start + width] for start in range(0, len(data), width))


@dataclass
class NearDuplicate(StatefulRule):
    """Reject a record that shares most of its shingles with an earlier one that passed.

    MinHash and banding find candidates among earlier records (a pair at the threshold with
    probability 99 %, more similar pairs more often); the exact Jaccard index of their shingles,
    32-bit hashes in a temporary file, decides. A record takes 350 bytes of memory; above `memory`
    the tables go to the temporary file, too.
    """

    name: ClassVar[str] = "near-duplicate"
    explanation: ClassVar[str] = (
        "An earlier record, or one of the files `against`, shares nearly all runs of 5 words with "
        "it (exact Jaccard index of the sets of runs); the first stays. A long text with one "
        "number changed is a near-duplicate. With the instruction, the system message, earlier "
        "turns and images must be equal."
    )

    fields: Annotated[
        tuple[TextField, ...],
        OptionSpec("the fields that are compared, as one text", some_of(*TEXT_FIELDS)),
    ] = ("instruction", "input")
    threshold: Annotated[
        float, OptionSpec("least Jaccard index of a near-duplicate", _threshold)
    ] = 0.8
    ngram: Annotated[
        int,
        OptionSpec(
            "words in a run; characters in scripts without spaces, such as Chinese or Thai",
            _ngram_size,
        ),
    ] = 5
    against: Annotated[
        tuple[str, ...] | None,
        OptionSpec("files of records that count as earlier ones, joined by '+'", file_names),
    ] = None
    memory: Annotated[
        int, OptionSpec("memory for the tables of records, above which they go to disk", byte_size)
    ] = ByteSize(400_000_000)

    def __post_init__(self) -> None:
        self._texts = itemgetter(*self.fields)
        self._shingles = shingler(self.ngram)
        self._sketch = sketcher(self.threshold)
        self._spill = Spill()
        bands, _ = bands_for(self.threshold)
        self._index = LshIndex(bands, min_equal_slots(self.threshold), self.memory, self._spill)
        if self.against:
            from seqit.stores.sources import check_sources

            check_sources(self.against)
        self._unread_files = list(self.against or ())
        self._against_count = 0

    def key(self, record: Record) -> MinHashKey | None:
        """Return the record's shingles and their sketch; None if the fields have no words."""
        return self.keys([record])[0]

    def keys(self, records: Sequence[Record]) -> list[MinHashKey | None]:
        """Return the keys of several records, at a fraction of the cost per record."""
        texts = map(self._texts, records)
        joined = [each if isinstance(each, str) else "\n".join(each) for each in texts]
        uses_context = "instruction" in self.fields
        contexts = [prompt_context(record) if uses_context else b"" for record in records]
        shingles = self._shingles(joined, contexts)
        sketches = self._sketch(shingles)
        bands, signatures = _row_bytes(sketches.keys), _row_bytes(sketches.signatures)
        packed = pack(shingles.hashes)
        found: list[MinHashKey | None] = []
        start = 0
        for end in (shingles.ends * 4).tolist():
            own = packed[start:end]
            found.append(MinHashKey(next(bands), next(signatures), own) if own else None)
            start = end
        return found

    def prefetch(self, keys: Sequence[MinHashKey | None]) -> None:
        """Look up the earlier records of all keys; reads the files of `against` the first time."""
        while self._unread_files:
            self._add_file(self._unread_files.pop(0))
        self._index.prefetch([key for key in keys if key])

    def compare(self, key: MinHashKey | None, record_id: str) -> Rejection | None:
        """Return a rejection with the record that stays, and how similar both are."""
        if key is None:
            return None
        mine: set[int] | None = None
        for found in self._index.find(key):
            mine = mine or unpack(key.shingles)
            theirs, kept_id, file = self._load(found)
            exact = jaccard(mine, theirs)
            if exact >= self.threshold:
                return self._reject(kept_id, file, estimate_jaccard(found.equal), exact)
        return None

    def remember(self, key: MinHashKey | None, record_id: str) -> None:
        """Store the key of a record that passed."""
        self._add(key, record_id)

    def extra_counts(self) -> dict[str, int]:
        """Return how many records are in the files of `against`."""
        return {"against": self._against_count} if self.against else {}

    def _add(self, key: MinHashKey | None, record_id: str, file: str | None = None) -> None:
        if key is None:
            return
        header = orjson.dumps((record_id, file))
        data = len(header).to_bytes(4, "little") + header + key.shingles
        self._index.add(key, self._spill.append(data), len(data))

    def _load(self, entry: TableMatch) -> tuple[set[int], str, str | None]:
        """Return the shingles of an earlier record, its id and its file; None if it is a row."""
        data = self._spill.read(entry.offset, entry.size)
        end = 4 + int.from_bytes(data[:4], "little")
        kept_id, file = orjson.loads(data[4:end])
        return unpack(data[end:]), kept_id, file

    def _reject(self, kept_id: str, file: str | None, estimated: float, exact: float) -> Rejection:
        what = f"runs of {self.ngram} words in the {' and '.join(self.fields)}"
        where = f"{kept_id} of {file}" if file else f"{kept_id}, which came first and stays"
        message = (
            f"{exact:.1%} of the {what} are common to it and record {where}; "
            f"the limit is {self.threshold:.1%}"
        )
        evidence: dict[str, Any] = {"duplicate_of": kept_id, "fields": list(self.fields)}
        if file:
            evidence["file"] = file
        evidence |= {"jaccard": round(exact, 4), "estimated_jaccard": round(estimated, 4)}
        return Rejection("near-duplicate", message, evidence)

    def _add_file(self, name: str) -> None:
        """Add the records of a file; raises SeqitError at the first invalid one."""
        from seqit.records.readers.rows import read_records
        from seqit.records.run_stats import RunStats

        rows = read_records([name], RunStats("near-duplicate", strict=True))
        while records := [row.value for row in islice(rows, _BATCH_SIZE)]:
            keys = self.keys(records)
            self._index.prefetch([key for key in keys if key])
            for key, record in zip(keys, records, strict=True):
                self._add(key, record["id"], name)
            self._against_count += len(records)
