"""One run of a command over rows: its sources, its outputs, and the closing statistics."""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import claim_stdout, was_given
from seqit.commands.shell.pipeline_slot import PipelineSlot, RowLink, pass_on_rows
from seqit.commands.shell.progress import model_progress, track
from seqit.commands.shell.run_report import RejectWriter, RunReport
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.engine.processes import WorkerPool
    from seqit.llm.scheduling.scheduler import Scheduler
    from seqit.records.readers.rows import BeforeRead
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.writers.sink import Sink

MAX_WORKERS = 4
SOME_ROWS_FAILED = 3

Transform = Callable[[Iterator["Row"], "RunStats"], Iterator["Row"]]
RowReader = Callable[..., Iterator["Row"]]


@dataclass
class Job:
    """One run of a command over rows: what to read, where to write, and how to report."""

    sources: tuple[str, ...]
    output: str | None = None
    rejects: str | None = None
    manifest: str | None = None
    strict: bool = False
    quiet: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    context: click.Context = field(default_factory=click.get_current_context)
    items_per_row: int = 1
    """How many items a scheduler gets for one row."""
    has_sources: bool = True
    """Whether the command reads rows; False for bench, which generates them."""

    def run(
        self,
        transform: Transform,
        read: RowReader | None = None,
        *,
        schema: str | None = "record",
        discard: bool = False,
        into: "contextlib.AbstractContextManager[Sink] | None" = None,
        scheduler: "Scheduler | None" = None,
        summary_lines: "Callable[[RunStats], list[str]] | None" = None,
    ) -> None:
        """Read, transform, write; exit with 3 if rows failed.

        `read(names, stats, before_read)` yields the rows, by default records. Rows are written if
        they match `schema`; `discard` drops them unless an output file is named; `into` is the
        sink to write to, by default the output. A `scheduler` that the transform uses prefetches
        rows in a thread, so it flushes the output and shows the progress itself. `summary_lines`
        returns lines to print after the closing statistics.
        """
        from seqit.records.run_stats import RunStats
        from seqit.records.validation import schema as load_schema
        from seqit.records.writers.sink import HashingSink, NullSink, Sink, write_rows

        names = self.check()
        if self.slot.run_next and (into or (discard and self.output is None)):
            raise UsageError(
                f"{self._name} passes no rows on here: it can only be the last command"
            )
        row_schema = load_schema(schema) if schema else None
        with contextlib.ExitStack() as stack:
            rejects = stack.enter_context(Path(self.rejects).open("wb")) if self.rejects else None
            reject_writer = RejectWriter(self.context, rejects)
            stats = RunStats(self._name, reject_writer, self.strict, rejects is not None)
            report = RunReport(
                self.context,
                stats,
                scheduler,
                summary_lines,
                quiet=self.quiet,
                manifest=self.manifest,
                options=self.given_options,
                sources=names,
                output=self.output,
                row_schema=row_schema,
            )

            def rows(flush: Callable[[], None]) -> Iterator["Row"]:
                source = (read or self.read_records)(names, stats, None if scheduler else flush)
                return transform(self._with_progress(source, names, scheduler, flush), stats)

            def hashed(sink: Sink) -> Sink:
                report.hashed = HashingSink(sink) if self.manifest else None
                return report.hashed or sink

            try:
                if run_next := self.slot.run_next:
                    link = RowLink(are_records=schema == "record")
                    link.rows = pass_on_rows(
                        rows(link.flush),
                        self.context,
                        stats,
                        schema=row_schema,
                        sink=hashed(NullSink()),
                        finish=report.finish,
                    )
                    run_next(link)
                else:
                    with into or self.sink(discard) as sink:
                        write_rows(rows(sink.flush), hashed(sink), stats, row_schema)
                        stats.close()
                    report.finish()
            finally:
                report.abort()
        if stats.failed:
            self.slot.some_failed = True
            if self.slot.is_alone:
                sys.exit(SOME_ROWS_FAILED)

    @property
    def given_options(self) -> dict[str, Any]:
        """The command's options that have a value, for the manifest; without the shared ones."""
        return {name: value for name, value in self.options.items() if was_given(value)}

    @property
    def slot(self) -> PipelineSlot:
        """The command's slot in a pipe of one process."""
        return PipelineSlot.of(self.context)

    def read_records(
        self, names: Sequence[str], stats: "RunStats", before_read: "BeforeRead | None" = None
    ) -> Iterator["Row"]:
        """Yield the records of the sources, or those that the previous command passes on."""
        from seqit.records.readers.rows import read_records, to_records

        link = self.slot.link
        if link is None:
            return read_records(names, stats, before_read)
        rows = link.read(stats, before_read)
        return rows if link.are_records else to_records(rows, stats)

    def read_rows(
        self, names: Sequence[str], stats: "RunStats", before_read: "BeforeRead | None" = None
    ) -> Iterator["Row"]:
        """Yield the rows, of any format, of the sources or of the previous command."""
        from seqit.records.readers.rows import read_rows

        link = self.slot.link
        return link.read(stats, before_read) if link else read_rows(names, stats, before_read)

    def check(self) -> tuple[str, ...]:
        """Return the sources; raises SeqitError if one or a target cannot be opened."""
        from seqit.stores.sources import STDIN, check_sources

        if self.slot.run_next and self.output not in (None, "-"):
            raise UsageError(
                "-o FILE is for the last command of a pipe; this one passes its rows on"
            )
        if not self.has_sources:
            if self.slot.link:
                raise UsageError(f"{self._name} takes no rows: it can only be the first command")
            names: tuple[str, ...] = ()
        elif self.slot.link is None:
            names = check_sources(self.sources)
        elif self.sources in ((), (STDIN,)):
            names = (STDIN,)
        else:
            raise UsageError(
                "the rows come from the previous command; only the first one of a pipe has a SOURCE"
            )
        self._check_targets(names)
        return names

    @contextlib.contextmanager
    def workers(self, count: int | None) -> Iterator["WorkerPool | None"]:
        """Yield a pool of worker processes, or None to work in this process.

        Workers return bytes, but a Parquet file and the next command of a pipe need values.
        """
        from seqit.engine.processes import WorkerPool, usable_cpus

        self.options.pop("workers", None)  # not in the manifest: it does not change the result
        count = count or min(usable_cpus(), MAX_WORKERS)
        is_parquet = (self.output or "").endswith(".parquet")
        if count == 1 or is_parquet or not self.slot.is_alone:
            yield None
            return
        with WorkerPool(count) as pool:
            yield pool

    @property
    def _name(self) -> str:
        return self.context.command.name or ""

    def _check_targets(self, names: tuple[str, ...]) -> None:
        """Raise UsageError if a file has two roles, or the suffix of another format."""
        from seqit.stores.targets import check_target

        taken = {os.path.realpath(name): f"the source {name}" for name in names if name != "-"}
        params = self.context.params  # --record and --cache are options of some commands only
        targets = {"--rejects": self.rejects, "--manifest": self.manifest}
        targets |= {"--record": params.get("record"), "--cache": params.get("cache")}
        for option, target in targets.items():
            if target is None:
                continue
            if target == "-":
                raise UsageError(f"{option} needs a file; standard output is /dev/stdout")
            if option != "--cache":
                check_target(target)
                if target.endswith((".gz", ".zst", ".parquet")):
                    raise UsageError(f"{option} writes plain JSON; name a .json or .jsonl file")
            path = os.path.realpath(target)
            if path in taken or (self.output and path == os.path.realpath(self.output)):
                raise UsageError(f"{option} {target} is also {taken.get(path, 'the output')}")
            taken[path] = f"the file of {option}"

    def _shows_progress(self) -> bool:
        """Return whether standard error is a terminal that no later command of a pipe writes to."""
        if self.slot.run_next:
            return False
        to_file = bool(self.output) or not stat.S_ISFIFO(os.fstat(1).st_mode)
        return sys.stderr.isatty() and to_file

    def _with_progress(
        self,
        rows: Iterator["Row"],
        names: tuple[str, ...],
        scheduler: "Scheduler | None",
        flush: Callable[[], None],
    ) -> Iterator["Row"]:
        """Show the progress on a terminal; a scheduler shows its own, with tokens and cost."""
        is_shown = not self.quiet and self._shows_progress()
        if scheduler is None:
            return track(rows, self._name) if is_shown else rows
        scheduler.before_wait = flush
        show = model_progress(self._name, names, self.items_per_row) if is_shown else None
        scheduler.on_progress = show
        return rows

    @contextlib.contextmanager
    def sink(self, discard: bool = False) -> Iterator["Sink"]:
        """Open the output: a file, standard output, or nothing."""
        from seqit.records.writers.sink import NullSink, open_sink

        if discard and self.output is None:
            yield NullSink()
            return
        if self.output in (None, "-"):
            with claim_stdout() as records, open_sink(None, records) as sink:
                yield sink
        else:
            # Opened first: the file may be /dev/stdout.
            with open_sink(self.output, sys.stdout.buffer) as sink:
                yield sink
