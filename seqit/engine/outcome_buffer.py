"""Outcomes of a batch of rows in a worker process, applied to the run's statistics in the parent.

The order of the rows is kept, so that the output, the rejects and the row at which --strict stops
are the same as with one process.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.reading_comparison import ReadingDifference
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import Schema
from seqit.records.writers.sink import encode


class Failure(NamedTuple):
    """The arguments of `RunStats.fail` for a row."""

    stage: str
    reason: str
    message: str
    evidence: dict[str, Any]


RowCounts = tuple[int, int]
"""How many rows the batch read, and how many more it wrote than one for each."""

ReadingOutcome = tuple[int, str, ReadingDifference | None]
"""The line of a row, what was parsed there, and how it differs from the published parse."""

BufferedOutcome = tuple[Any, str, int, bytes | None, Failure | None] | RowCounts | ReadingOutcome
"""The four fields of a Row, and how it failed; or one of the two above.

Plain tuples, distinguished by their length: many go through a pipe, at a third of the cost of a
class.
"""


class OutcomeBuffer(RunStats):
    """Collects the outcome of each row of a batch, in order."""

    def __init__(self, schema: Schema) -> None:
        super().__init__("")
        self._schema = schema
        self._outcomes: list[BufferedOutcome] = []

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Add a row that failed."""
        failure = Failure(stage, reason, message, evidence)
        self._outcomes.append((row.value, row.source, row.line, row.raw, failure))

    def add_reading(self, row: Row, reading: str, difference: ReadingDifference | None) -> None:
        """Add how a text was parsed, compared with its published parse."""
        self._outcomes.append((row.line, reading, difference))

    def write(self, row: Row) -> None:
        """Add a row to write, as its final bytes; the value stays in this process."""
        value, raw = None, row.raw
        if raw is None:
            try:
                raw = encode(row.value, self._schema)
            except RowError:
                value = row.value  # the writer gets the same error, and counts the row as failed
        self._outcomes.append((value, row.source, row.line, raw, None))

    def outcomes(self) -> list[BufferedOutcome]:
        """Return all outcomes, the counts first."""
        return [(self.read, self.added), *self._outcomes]


def apply_outcomes(outcomes: Iterable[BufferedOutcome], stats: RunStats) -> Iterator[Row]:
    """Yield the rows to write, and add all other outcomes to `stats`, in order."""
    for outcome in outcomes:
        if len(outcome) == 2:
            read, added = outcome
            stats.read += read
            stats.added += added
            continue
        if len(outcome) == 3:
            line, reading, difference = outcome
            stats.add_reading(Row(None, line=line), reading, difference)
            continue
        value, source, line, raw, failure = outcome
        row = Row(value, source, line, raw)
        if failure:
            stats.fail(row, failure.stage, failure.reason, failure.message, **failure.evidence)
        else:
            yield row
