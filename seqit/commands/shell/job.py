"""One run of a command over rows: sources, targets, the account and its closing line."""

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
from seqit.commands.shell.progress import track, watch_model
from seqit.commands.shell.run_report import RejectWriter, RunReport
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.engine.processes import WorkerPool
    from seqit.llm.scheduling.scheduler import Scheduler
    from seqit.records.readers.rows import Wait
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.writers.sink import Sink

MOST_WORKERS = 4
SOME_ROWS_FAILED = 3

Transform = Callable[[Iterator["Row"], "RunStats"], Iterator["Row"]]
RowReader = Callable[..., Iterator["Row"]]


@dataclass
class Job:
    """One run of a command over rows: what to read, where to write, and the account of it."""

    sources: tuple[str, ...]
    output: str | None = None
    rejects: str | None = None
    manifest: str | None = None
    strict: bool = False
    quiet: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    context: click.Context = field(default_factory=click.get_current_context)
    asked_each: int = 1
    """How many pieces of work a dispatcher makes of a row."""
    has_sources: bool = True
    """Whether the rows come from somewhere; else the command makes them."""

    def run(
        self,
        transform: Transform,
        read: RowReader | None = None,
        *,
        schema: str | None = "record",
        discard: bool = False,
        into: "contextlib.AbstractContextManager[Sink] | None" = None,
        scheduler: "Scheduler | None" = None,
        remarks: "Callable[[RunStats], list[str]] | None" = None,
    ) -> None:
        """Read, transform, write; exits with 3 where rows failed.

        `read(names, account, before_read)` gives the rows, records by default; written rows match
        `schema`; `discard` drops them where no output file is named; they go `into` a sink where
        one is given. A `scheduler` that the transform asks reads ahead in a thread, so that it
        passes rows on and shows the progress. `remarks` gives lines that close the account.
        """
        from seqit.records.run_stats import RunStats
        from seqit.records.validation import schema as load_schema
        from seqit.records.writers.sink import Discard, Hashed, Sink, write_rows

        names = self.check()
        if self.stage.go_on and (into or (discard and self.output is None)):
            raise UsageError(f"{self._name} hands no rows on here: it can only be the last command")
        checked = load_schema(schema) if schema else None
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(Path(self.rejects).open("wb")) if self.rejects else None
            reporter = RejectWriter(self.context, kept)
            stats = RunStats(self._name, reporter, self.strict, kept is not None)
            end = RunReport(
                self.context,
                stats,
                scheduler,
                remarks,
                quiet=self.quiet,
                manifest=self.manifest,
                options=self.given_options,
                sources=names,
                output=self.output,
            )

            def rows(flush: Callable[[], None]) -> Iterator["Row"]:
                found = (read or self.read_records)(names, stats, None if scheduler else flush)
                return transform(self._watched(found, names, scheduler, flush), stats)

            def watched(sink: Sink) -> Sink:
                end.hashed = Hashed(sink) if self.manifest else None
                return end.hashed or sink

            try:
                if go_on := self.stage.go_on:
                    link = RowLink(are_records=schema == "record")
                    link.rows = pass_on_rows(
                        rows(link.flush),
                        self.context,
                        stats,
                        schema=checked,
                        sink=watched(Discard()),
                        end=end,
                    )
                    go_on(link)
                else:
                    with into or self.sink(discard) as sink:
                        write_rows(rows(sink.flush), watched(sink), stats, checked)
                        stats.close()
                    end()
            finally:
                end.broken_off()
        if stats.failed:
            self.stage.some_failed = True
            if self.stage.is_alone:
                sys.exit(SOME_ROWS_FAILED)

    @property
    def given_options(self) -> dict[str, Any]:
        """The command's own options that were given, and defaults that say something."""
        return {name: value for name, value in self.options.items() if was_given(value)}

    @property
    def stage(self) -> PipelineSlot:
        """The command's place in a pipe of one process."""
        return PipelineSlot.of(self.context)

    def read_records(
        self, names: Sequence[str], stats: "RunStats", before_read: "Wait | None" = None
    ) -> Iterator["Row"]:
        """Yield the records of the sources, or those that the command before hands on."""
        from seqit.records.readers.rows import read_records, to_records

        link = self.stage.link
        if link is None:
            return read_records(names, stats, before_read)
        rows = link.read(stats, before_read)
        return rows if link.are_records else to_records(rows, stats)

    def read_rows(
        self, names: Sequence[str], stats: "RunStats", before_read: "Wait | None" = None
    ) -> Iterator["Row"]:
        """Yield the rows of the sources, or those handed on, whatever they hold."""
        from seqit.records.readers.rows import read_rows

        link = self.stage.link
        return link.read(stats, before_read) if link else read_rows(names, stats, before_read)

    def check(self) -> tuple[str, ...]:
        """Return the sources; raises where one cannot be read or a target not be written."""
        from seqit.stores.sources import STDIN, check_sources

        if self.stage.go_on and self.output not in (None, "-"):
            raise UsageError(
                "-o FILE is for the last command of a pipe; this one hands its rows on"
            )
        if not self.has_sources:
            if self.stage.link:
                raise UsageError(f"{self._name} takes no rows: it can only be the first command")
            names: tuple[str, ...] = ()
        elif self.stage.link is None:
            names = check_sources(self.sources)
        elif self.sources in ((), (STDIN,)):
            names = (STDIN,)
        else:
            raise UsageError(
                "the rows come from the command before; a SOURCE is for the first one of a pipe"
            )
        self._check_targets(names)
        return names

    @contextlib.contextmanager
    def workers(self, count: int | None) -> Iterator["WorkerPool | None"]:
        """Give the processes that share the work; None where one is to do it.

        A Parquet file is written from values, as a pipe hands rows on with them, and what other
        processes return is bytes.
        """
        from seqit.engine.processes import WorkerPool, usable_cpus

        self.options.pop("workers", None)  # no part of the manifest: the result is the same
        count = count or min(usable_cpus(), MOST_WORKERS)
        is_parquet = (self.output or "").endswith(".parquet")
        if count == 1 or is_parquet or not self.stage.is_alone:
            yield None
            return
        with WorkerPool(count) as pool:
            yield pool

    @property
    def _name(self) -> str:
        return self.context.command.name or ""

    def _check_targets(self, names: tuple[str, ...]) -> None:
        """Raise UsageError where one file would be two things, or has an ending for another."""
        from seqit.stores.targets import check_target

        taken = {os.path.realpath(name): f"the source {name}" for name in names if name != "-"}
        asked = self.context.params  # --record and --cache are of commands that ask a model
        targets = {"--rejects": self.rejects, "--manifest": self.manifest}
        targets |= {"--record": asked.get("record"), "--cache": asked.get("cache")}
        for option, target in targets.items():
            if target is None:
                continue
            if target == "-":
                raise UsageError(f"{option} names a file; standard output is /dev/stdout")
            if option != "--cache":
                check_target(target)
                if target.endswith((".gz", ".zst", ".parquet")):
                    raise UsageError(f"{option} writes plain JSON; name a .json or .jsonl file")
            where = os.path.realpath(target)
            if where in taken or (self.output and where == os.path.realpath(self.output)):
                raise UsageError(f"{option} {target} is also {taken.get(where, 'the output')}")
            taken[where] = f"what {option} writes"

    def _is_watched(self) -> bool:
        """Tell whether a person sees standard error, and nothing else writes there too.

        The commands in the middle of a pipe keep silent, so that the last one can be read.
        """
        if self.stage.go_on:
            return False
        to_file = bool(self.output) or not stat.S_ISFIFO(os.fstat(1).st_mode)
        return sys.stderr.isatty() and to_file

    def _watched(
        self,
        rows: Iterator["Row"],
        names: tuple[str, ...],
        scheduler: "Scheduler | None",
        flush: Callable[[], None],
    ) -> Iterator["Row"]:
        """Show the progress where somebody looks; a dispatcher, which knows more, shows its own."""
        watched = not self.quiet and self._is_watched()
        if scheduler is None:
            return track(rows, self._name) if watched else rows
        scheduler.before_wait = flush
        scheduler.watch = watch_model(self._name, names, self.asked_each) if watched else None
        return rows

    @contextlib.contextmanager
    def sink(self, discard: bool = False) -> Iterator["Sink"]:
        """Open the output: a file, standard output, or nothing."""
        from seqit.records.writers.sink import Discard, open_sink

        if discard and self.output is None:
            yield Discard()
            return
        if self.output in (None, "-"):
            with claim_stdout() as records, open_sink(None, records) as sink:
                yield sink
        else:
            # Opened first: the file may be /dev/stdout.
            with open_sink(self.output, sys.stdout.buffer) as sink:
                yield sink
