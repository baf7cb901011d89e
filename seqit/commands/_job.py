"""One run of a command over rows: sources, targets, the account and its closing line."""

import contextlib
import functools
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from seqit import __version__
from seqit.commands._progress import describe_asking, track, watch_model
from seqit.commands._shell import claim_stdout, say
from seqit.errors import RowError, UsageError

if TYPE_CHECKING:
    from seqit.backends.dispatch import Dispatcher
    from seqit.records.account import Account, Row
    from seqit.records.sink import Sink
    from seqit.scale import Workers

SHOWN_FAILURES = 5
MOST_WORKERS = 4
SOME_ROWS_FAILED = 3

Transform = Callable[[Iterator["Row"], "Account"], Iterator["Row"]]
Reader = Callable[..., Iterator["Row"]]


def was_given(value: Any) -> bool:
    """Tell whether an option's value says that it was given; 0 says so, too."""
    return value is not None and value is not False and value not in ((), {}, "")


def was_typed(name: str) -> bool:
    """Tell whether a parameter was given on the command line, not by the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


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

    def run(
        self,
        transform: Transform,
        read: Reader | None = None,
        *,
        schema: str | None = "record",
        discard: bool = False,
        dispatcher: "Dispatcher | None" = None,
        remarks: "Callable[[Account], list[str]] | None" = None,
    ) -> None:
        """Read, transform, write; exits with 3 where rows failed.

        `read(names, account, before_read)` gives the rows, records by default; written rows match
        `schema`; `discard` drops them where no output file is named. A `dispatcher` that the
        transform asks reads ahead in a thread, so that it passes rows on and shows the progress.
        `remarks` gives lines that close the account.
        """
        from seqit.records.account import Account
        from seqit.records.sink import Hashed, write_rows
        from seqit.records.stream import read_records
        from seqit.records.validation import schema as load_schema

        names = self.check()
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(Path(self.rejects).open("wb")) if self.rejects else None
            reporter = _Reporter(self.context, kept)
            account = Account(self._name, reporter, self.strict, kept is not None)
            hashed: Hashed | None = None
            complete = False
            try:
                with self._sink(discard) as sink:
                    hashed = Hashed(sink) if self.manifest else None
                    watched = not self.quiet and self._is_watched()
                    if dispatcher:
                        rows = (read or read_records)(names, account, None)
                        dispatcher.before_wait = sink.flush
                        dispatcher.watch = watch_model(self._name, names) if watched else None
                    else:
                        rows = (read or read_records)(names, account, sink.flush)
                        rows = track(rows, self._name) if watched else rows
                    checked = load_schema(schema) if schema else None
                    write_rows(transform(rows, account), hashed or sink, account, checked)
                    account.close()
                complete = True
            finally:
                if dispatcher:
                    account.counts["model"] = asdict(dispatcher.progress)
                self._close(account, names, complete, hashed.sha256 if hashed else None)
        if not self.quiet:
            for line in remarks(account) if remarks else ():
                say(self.context, line)
            if dispatcher:
                say(self.context, describe_asking(dispatcher.progress))
        if account.failed:
            sys.exit(SOME_ROWS_FAILED)

    def check(self) -> tuple[str, ...]:
        """Return the sources; raises where one cannot be read or a target not be written."""
        from seqit.records.sources import check_sources

        names = check_sources(self.sources)
        self._check_targets(names)
        return names

    @contextlib.contextmanager
    def workers(self, count: int | None) -> Iterator["Workers | None"]:
        """Give the processes that share the work; None where one is to do it.

        A Parquet file is written from values, and what other processes return is bytes.
        """
        from seqit.scale import Workers, usable_cpus

        self.options.pop("workers", None)  # no part of the manifest: the result is the same
        count = count or min(usable_cpus(), MOST_WORKERS)
        if count == 1 or (self.output or "").endswith(".parquet"):
            yield None
            return
        with Workers(count) as pool:
            yield pool

    @property
    def _name(self) -> str:
        return self.context.command.name or ""

    def _check_targets(self, names: tuple[str, ...]) -> None:
        """Raise UsageError where one file would be two things, or has an ending for another."""
        from seqit.records.sink import check_target

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
        to_file = bool(self.output) or not stat.S_ISFIFO(os.fstat(1).st_mode)
        return sys.stderr.isatty() and to_file

    @contextlib.contextmanager
    def _sink(self, discard: bool) -> Iterator["Sink"]:
        from seqit.records.sink import Discard, open_sink

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

    def _close(
        self, account: "Account", names: tuple[str, ...], complete: bool, sha256: str | None
    ) -> None:
        """Write the manifest and the closing line, also where the run broke off."""
        from seqit.records.sink import encode, whole_file
        from seqit.records.validation import schema

        if self.manifest:
            manifest = account.manifest() | {
                "version": __version__,
                "options": {k: v for k, v in self.options.items() if was_given(v)},
                "sources": list(names),
                "complete": complete,
            }
            if sha256 and complete:
                manifest["output"] = {"name": self.output or "-", "sha256": sha256}
            with whole_file(self.manifest) as file:
                file.write(encode(manifest, schema("manifest")) + b"\n")
        if not self.quiet and complete:
            say(self.context, account.summary())


class _Reporter:
    """Keeps each row that was not written in the rejects file, and says the first failures."""

    def __init__(self, ctx: click.Context, file: IO[bytes] | None) -> None:
        self._ctx = ctx
        self._file = file
        self._failures = 0

    def __call__(self, reject: dict[str, Any]) -> None:
        if self._file:
            self._file.write(_line(reject))
        # The error that ends a strict run says the same as its one failure.
        if reject["outcome"] != "failed" or self._ctx.params.get("strict"):
            return
        self._failures += 1
        if self._failures <= SHOWN_FAILURES:
            line = f":{reject['line']}" if reject["line"] else ""
            say(self._ctx, f"{reject['source']}{line}: {reject['message']}")
        elif self._failures == SHOWN_FAILURES + 1:
            keeper = self._ctx.params.get("rejects") or "--rejects FILE"
            say(self._ctx, f"… further rows failed; {keeper} keeps them all")


def _line(reject: dict[str, Any]) -> bytes:
    from seqit.records.sink import encode

    try:
        return encode(reject) + b"\n"
    except RowError:  # too deep to stand one level deeper: the row is kept as text
        row = reject.pop("row")
        return encode(reject | {"raw": json.dumps(row)}) + b"\n"


workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Work in N processes; the result is the same. Default: one a CPU, at most {MOST_WORKERS}."
    " Small sources and Parquet, in or out, take one.",
)


def data_options(body: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands over rows share; it gets a Job first."""

    @click.argument("sources", nargs=-1, metavar="[SOURCE]...")
    @click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all; "
                  "its ending may be .jsonl, .jsonl.gz, .jsonl.zst or .parquet.")  # fmt: skip
    @click.option("--rejects", metavar="FILE", help="Keep every row not written, with the reason.")
    @click.option("--manifest", metavar="FILE", help="Write the account of the run as JSON.")
    @click.option("--strict", is_flag=True, help="Stop at the first row that fails.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress and no closing account.")
    @click.pass_context
    @functools.wraps(body)
    def command(
        ctx: click.Context,
        /,
        *,
        sources: tuple[str, ...],
        output: str | None,
        rejects: str | None,
        manifest: str | None,
        strict: bool,
        quiet: bool,
        **options: Any,
    ) -> None:
        job = Job(sources, output, rejects, manifest, strict, quiet, options, ctx)
        body(job, **options)

    return command
