"""The account: nothing vanishes. read + added = written + held out + rejected + failed + merged."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqit.errors import SeqitError
from seqit.records.reading_comparison import ReadingComparison, ReadingDifference


@dataclass(slots=True)
class Row:
    """One row on its way through a command, with the place where it was read.

    `value` is the decoded row: a Record once the reader has validated it. `raw` holds the bytes
    that it came as, so that a row nobody changed is written verbatim; None for a changed row.
    """

    value: Any
    source: str = ""
    line: int = 0
    raw: bytes | None = None

    def changed(self, value: Any) -> "Row":
        """Return a row of this origin with another content."""
        return Row(value, self.source, self.line)

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class StrictError(SeqitError):
    """A row failed, and --strict says that one is enough to stop."""


class UnbalancedRun(SeqitError):
    """Rows were lost or doubled: a defect of seqit, never the user's fault."""


class RunStats:
    """Counts what became of every row, and hands the ones not written to `on_reject`.

    `on_reject` gets one reject (schemas/reject.schema.json) a row. Where `keeps_rejects` is
    false nobody keeps them: an engine need not fetch the rows that it rejects in bulk. Rows may
    be read in one thread and settled in another.
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
        self.held_out = 0  # written too, but to a file of their own
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.results: dict[str, Any] = {}
        self._comparison = ReadingComparison()
        self._on_reject = on_reject
        self._lock = threading.Lock()

    def reject(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Count a row that a rule decided not to write."""
        with self._lock:
            self.rejected += 1
            self._tell(
                row, evidence, outcome="rejected", stage=stage, reason=reason, message=message
            )

    def reject_unseen(self, count: int, stage: str, reason: str) -> None:
        """Count rows that a rule decided not to write, where nobody keeps rejects."""
        with self._lock:
            self.rejected += count
            if count:
                self.reasons[stage, reason] += count

    def fail(self, row: Row, stage: str, reason: str, message: str, /, **evidence: Any) -> None:
        """Count a row that should have been written and could not.

        Raises StrictError when the run is strict.
        """
        with self._lock:
            self.failed += 1
            self._tell(row, evidence, outcome="failed", stage=stage, reason=reason, message=message)
        if self.strict:
            raise StrictError(f"{row.place}: {message}")

    def compared(self, row: Row, reading: str, difference: ReadingDifference | None) -> None:
        """Count how a row was read elsewhere; Comparison says how `counts` has it, as "parser"."""
        with self._lock:
            self._comparison.notice(reading, difference, line=row.line)
            self.results["parser"] = self._comparison.counts

    def _tell(self, row: Row, evidence: dict[str, Any], **what: str) -> None:
        self.reasons[what["stage"], what["reason"]] += 1
        if self._on_reject is None:
            return
        reject: dict[str, Any] = {"command": self.command} | what
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
        """Rows read or added whose fate is unknown: 0 at the end of a complete run."""
        gone = self.written + self.held_out + self.rejected + self.failed + self.merged
        return self.read + self.added - gone

    def close(self) -> None:
        """Check the account at the end of a complete run; raises UnbalancedRun."""
        if self.balance:
            raise UnbalancedRun(
                f"{self.command}: the account does not balance: {self.summary()}. "
                "This is a defect of seqit: please report it with the command you ran."
            )

    def summary(self) -> str:
        """Return the closing line: read, written, and what became of the others."""
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
            why = (f"{reason} {count:,}" for reason, count in reasons.most_common(6))
            line += f" ({', '.join(why)}{', …' if len(reasons) > 6 else ''})"
        return line

    def manifest(self) -> dict[str, Any]:
        """Return the counts as schemas/manifest.schema.json has them."""
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
