"""Run statistics: no row is lost. read + added = written + held out + rejected + failed + merged.

Checked at the end of each run.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqit.errors import SeqitError
from seqit.records.reading_comparison import ReadingComparison, ReadingDifference


@dataclass(slots=True)
class Row:
    """One row in a command, with the source and the line that it was read from.

    `value` is the decoded row: a Record once the reader has validated it. `raw` has the bytes
    that were read, so that an unchanged row is written verbatim; None for a changed row.
    """

    value: Any
    source: str = ""
    line: int = 0
    raw: bytes | None = None

    def with_value(self, value: Any) -> "Row":
        """Return a row with another value from the same source and line."""
        return Row(value, self.source, self.line)

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class StrictError(SeqitError):
    """Raised on the first failed row if --strict is given."""


class UnbalancedRun(SeqitError):
    """Raised if rows were lost or duplicated: a bug in seqit, never the user's fault."""


class RunStats:
    """Counts the outcome of every row, and passes the rows that are not written to `on_reject`.

    `on_reject` receives one reject (schemas/reject.schema.json) per row. If `keeps_rejects` is
    false, rejects are not stored, and an engine need not fetch rows that it rejects in bulk.
    Thread-safe: rows may be read in one thread and counted in another.
    """

    def __init__(
        self,
        command: str,
        on_reject: Callable[[dict[str, Any]], None] | None = None,
        strict: bool = False,
        keeps_rejects: bool = True,
    ) -> None:
        self.command = command
        self.strict = strict
        self.keeps_rejects = keeps_rejects and on_reject is not None
        self.read = self.added = self.written = self.rejected = self.failed = self.merged = 0
        self.held_out = 0  # written to a separate file, and not counted in `written`
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.results: dict[str, Any] = {}
        self._comparison = ReadingComparison()
        self._on_reject = on_reject
        self._lock = threading.Lock()

    def reject(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Count a row that a rule decided not to write."""
        with self._lock:
            self.rejected += 1
            self._add_reject(
                row, evidence, outcome="rejected", stage=stage, reason=reason, message=message
            )

    def count_rejected(self, count: int, stage: str, reason: str) -> None:
        """Count rows that a rule decided not to write, if `keeps_rejects` is false."""
        with self._lock:
            self.rejected += count
            if count:
                self.reasons[stage, reason] += count

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Count a row that should have been written and could not be.

        Raises StrictError if the run is strict.
        """
        with self._lock:
            self.failed += 1
            self._add_reject(
                row, evidence, outcome="failed", stage=stage, reason=reason, message=message
            )
        if self.strict:
            raise StrictError(f"{row.place}: {message}")

    def add_reading(self, row: Row, reading: str, difference: ReadingDifference | None) -> None:
        """Count how a text was parsed, compared with its published parse.

        The summary of ReadingComparison becomes `results["parser"]`.
        """
        with self._lock:
            self._comparison.add(reading, difference, line=row.line)
            self.results["parser"] = self._comparison.summary

    def _add_reject(self, row: Row, evidence: dict[str, Any], **fields: str) -> None:
        self.reasons[fields["stage"], fields["reason"]] += 1
        if self._on_reject is None:
            return
        reject: dict[str, Any] = {"command": self.command} | fields
        reject |= {"source": row.source, "line": row.line}
        if isinstance(row.value, dict) and isinstance(row.value.get("id"), str):
            reject["id"] = row.value["id"]
        if evidence:
            reject["evidence"] = evidence
        if row.value is not None:
            reject["row"] = row.value
        elif row.raw is not None:
            reject["raw"] = row.raw.decode("utf-8", "backslashreplace")
        self._on_reject(reject)

    @property
    def balance(self) -> int:
        """Rows read or added without an outcome so far: 0 at the end of a complete run."""
        done = self.written + self.held_out + self.rejected + self.failed + self.merged
        return self.read + self.added - done

    def close(self) -> None:
        """Check the counts at the end of a complete run; raises UnbalancedRun."""
        if self.balance:
            raise UnbalancedRun(
                f"{self.command}: the counts of rows do not add up: {self.summary()}. "
                "This is a bug in seqit: please report it with the command you ran."
            )

    def summary(self) -> str:
        """Return the closing line: rows read, written, and the outcomes of the others."""
        parts = [f"read {self.read:,}"]
        if self.added:
            parts.append(f"added {self.added:,}")
        parts.append(f"written {self.written:,}")
        if self.held_out:
            parts.append(f"held out {self.held_out:,}")
        if self.merged:
            parts.append(f"merged {self.merged:,}")
        parts.append(f"rejected {self.rejected:,}")
        parts.append(f"failed {self.failed:,}")
        line = ", ".join(parts)
        if self.reasons:
            reasons: Counter[str] = Counter()
            for (_, reason), count in self.reasons.items():
                reasons[reason] += count
            counted = (f"{reason} {count:,}" for reason, count in reasons.most_common(6))
            line += f" ({', '.join(counted)}{', …' if len(reasons) > 6 else ''})"
        return line

    def manifest(self) -> dict[str, Any]:
        """Return the counts in the form of schemas/manifest.schema.json."""
        reasons: dict[str, dict[str, int]] = {}
        for (stage, reason), count in sorted(self.reasons.items()):
            reasons.setdefault(stage, {})[reason] = count
        keys = ("read", "added", "written", "rejected", "failed", "merged")
        manifest: dict[str, Any] = {"command": self.command} | {k: getattr(self, k) for k in keys}
        if self.held_out:
            manifest["held_out"] = self.held_out
        manifest["reasons"] = reasons
        if self.results:
            manifest["counts"] = self.results
        return manifest
