"""The report of a run: the rejected and failed rows, the closing lines, and the manifest."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import click

from seqit import __version__
from seqit.commands.shell.command import say
from seqit.commands.shell.progress import model_summary
from seqit.errors import RowError

if TYPE_CHECKING:
    from seqit.llm.scheduling.scheduler import Scheduler
    from seqit.records.run_stats import RunStats
    from seqit.records.validation import Schema
    from seqit.records.writers.sink import HashingSink

MAX_SHOWN_FAILURES = 5


class RunReport:
    """Writes the manifest and the closing lines of a run, at its end or when it is aborted.

    hashed: the sink that computes the output's hash, for the manifest.
    """

    def __init__(
        self,
        context: click.Context,
        stats: "RunStats",
        scheduler: "Scheduler | None",
        summary_lines: "Callable[[RunStats], list[str]] | None",
        *,
        quiet: bool,
        manifest: str | None,
        options: dict[str, Any],
        sources: Sequence[str],
        output: str | None,
        row_schema: "Schema | None",
    ) -> None:
        self.hashed: HashingSink | None = None
        self._context = context
        self._stats = stats
        self._scheduler = scheduler
        self._summary_lines = summary_lines
        self._quiet = quiet
        self._manifest = manifest
        self._options = options
        self._sources = sources
        self._output = output
        self._row_schema = row_schema
        self._is_written = False

    def finish(self) -> None:
        """Report a complete run."""
        self._write_manifest(complete=True)
        if self._quiet:
            return
        lines = [self._stats.summary()]
        if self._summary_lines:
            lines += self._summary_lines(self._stats)
        if self._scheduler:
            lines.append(model_summary(self._scheduler.progress))
        for line in lines:
            say(self._context, line)

    def abort(self) -> None:
        """Write the manifest of an incomplete run; a no-op after `finish`."""
        if not self._is_written:
            self._write_manifest(complete=False)

    def _write_manifest(self, complete: bool) -> None:
        from seqit.records.validation import schema
        from seqit.records.writers.sink import encode
        from seqit.stores.targets import atomic_file

        self._is_written = True
        if self._scheduler:
            self._stats.results["model"] = asdict(self._scheduler.progress)
        if not self._manifest:
            return
        manifest_schema = schema("manifest")
        manifest = self._stats.manifest() | {
            "version": __version__,
            "schemas": schema_versions(manifest_schema, self._row_schema),
            "options": self._options,
            "sources": list(self._sources),
            "complete": complete,
        }
        if self.hashed and complete:
            manifest["output"] = {"name": self._output or "-", "sha256": self.hashed.sha256}
        with atomic_file(self._manifest) as file:
            file.write(encode(manifest, manifest_schema) + b"\n")


def schema_versions(*schemas: "Schema | None") -> dict[str, int]:
    """Return the versions of the schemas by name, for a manifest."""
    return {each.name: each.version for each in schemas if each}


class RejectWriter:
    """Writes rejected and failed rows to the rejects file, and prints the first failures."""

    def __init__(self, ctx: click.Context, file: IO[bytes] | None) -> None:
        self._ctx = ctx
        self._file = file
        self._failures = 0

    def __call__(self, reject: dict[str, Any]) -> None:
        if self._file:
            self._file.write(_line(reject))
        # A strict run ends with an error that has the message of its only failure.
        if reject["outcome"] != "failed" or self._ctx.params.get("strict"):
            return
        self._failures += 1
        if self._failures <= MAX_SHOWN_FAILURES:
            line = f":{reject['line']}" if reject["line"] else ""
            say(self._ctx, f"{reject['source']}{line}: {reject['message']}")
        elif self._failures == MAX_SHOWN_FAILURES + 1:
            file = self._ctx.params.get("rejects") or "--rejects FILE"
            say(self._ctx, f"… further rows failed; {file} keeps them all")


def _line(reject: dict[str, Any]) -> bytes:
    from seqit.records.writers.sink import encode

    try:
        return encode(reject) + b"\n"
    except RowError:  # too deep for one more level: the row is kept as text
        row = reject.pop("row")
        return encode(reject | {"raw": json.dumps(row)}) + b"\n"
