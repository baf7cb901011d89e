"""A ledger: what became of the rows of a batch in another process, told to the account here.

The order of the rows is kept, so that the output, the rejects and the row at which --strict stops
are those of one process.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.reading_comparison import ReadingDifference
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import Schema
from seqit.records.writers.sink import encode


class Failure(NamedTuple):
    """What `RunStats.fail` is told about a row."""

    stage: str
    reason: str
    message: str
    evidence: dict[str, Any]


Counted = tuple[int, int]
"""How many rows the batch read, and how many it wrote beyond one for each."""

Compared = tuple[int, str, ReadingDifference | None]
"""The line of a row, what was read there, and how it was read elsewhere."""

BufferedOutcome = tuple[Any, str, int, bytes | None, Failure | None] | Counted | Compared
"""The four fields of a Row and how it failed.

Plain tuples, told apart by their length: many go through a pipe, and they do so at a third of the
cost of a class.
"""


class OutcomeBuffer(RunStats):
    """Keeps what became of each row of a batch, in order."""

    def __init__(self, schema: Schema) -> None:
        super().__init__("")
        self._schema = schema
        self._entries: list[BufferedOutcome] = []

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Keep a row that failed."""
        failure = Failure(stage, reason, message, evidence)
        self._entries.append((row.value, row.source, row.line, row.raw, failure))

    def compared(self, row: Row, reading: str, difference: ReadingDifference | None) -> None:
        """Keep how a row was read elsewhere."""
        self._entries.append((row.line, reading, difference))

    def write(self, row: Row) -> None:
        """Keep a row to write as the bytes that it will be; the value stays in this process."""
        value, raw = None, row.raw
        if raw is None:
            try:
                raw = encode(row.value, self._schema)
            except RowError:
                value = row.value  # whoever writes it finds out the same, and says it
        self._entries.append((value, row.source, row.line, raw, None))

    def entries(self) -> list[BufferedOutcome]:
        """Return all entries, the counts first."""
        return [(self.read, self.added), *self._entries]


def apply_outcomes(entries: Iterable[BufferedOutcome], stats: RunStats) -> Iterator[Row]:
    """Yield the rows to write, and tell the account of all others in their turn."""
    for entry in entries:
        if len(entry) == 2:
            read, added = entry
            stats.read += read
            stats.added += added
            continue
        if len(entry) == 3:
            line, reading, difference = entry
            stats.compared(Row(None, line=line), reading, difference)
            continue
        value, source, line, raw, failure = entry
        row = Row(value, source, line, raw)
        if failure:
            stats.fail(row, failure.stage, failure.reason, failure.message, **failure.evidence)
        else:
            yield row
