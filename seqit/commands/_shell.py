"""The shell around every command: shared options, streams, the closing account, exit codes."""

import contextlib
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from seqit import __version__
from seqit.commands._progress import CLEAR, track
from seqit.errors import SeqitError, UsageError

if TYPE_CHECKING:
    from seqit.records.account import Account, Row
    from seqit.records.sink import Sink

SHOWN_FAILURES = 5
SOME_ROWS_FAILED, INTERRUPTED, READER_GONE = 3, 130, 141

Transform = Callable[[Iterator["Row"], "Account"], Iterator["Row"]]
Reader = Callable[..., Iterator["Row"]]


class Command(click.Command):
    """A click command whose errors are sentences, and whose exit codes are seqit's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["--help", "-h"]})
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--traceback"], is_flag=True, help="Show where in the code an error rose."
            )
        )
        for option in (each for each in self.params if isinstance(each, click.Option)):
            # By the option's own name; click would take the name of the function's parameter.
            word = max(option.opts, key=len).removeprefix("--")
            option.envvar = f"SEQIT_{self.name}_{word}".replace("-", "_").upper()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become a sentence and an exit code."""
        ctx.meta["traceback"] = ctx.params.pop("traceback", False)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader has enough (head): whatever Python still flushes at exit goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(READER_GONE)
        except KeyboardInterrupt:
            say(ctx, "interrupted")
            sys.exit(INTERRUPTED)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.meta["traceback"]:
                raise
            say(ctx, _sentence(error))
            sys.exit(1)


def _sentence(error: Exception) -> str:
    if isinstance(error, SeqitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return (
        f"a defect of seqit: {type(error).__name__}: {error}. Please report it, with what "
        "--traceback prints"
    )


def say(ctx: click.Context, message: str) -> None:
    """Write one line to standard error, after the command's name; progress gives way to it."""
    start = CLEAR if sys.stderr.isatty() else ""
    click.echo(f"{start}{ctx.command_path}: {message}", err=True)


@contextlib.contextmanager
def claim_stdout() -> Iterator[IO[bytes]]:
    """Give standard output to records alone; what libraries print goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb", buffering=1 << 20) as records:
        os.dup2(2, 1)
        try:
            yield records
        except (BrokenPipeError, KeyboardInterrupt, SystemExit):
            # The reader has enough, or may never read on: what is still buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), records.fileno())
            raise


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
        schema: str | None = "record",
        discard: bool = False,
    ) -> None:
        """Read, transform, write; exits with 3 where rows failed.

        `read(names, account, before_read)` gives the rows, records by default; written rows match
        `schema`; `discard` drops them where no output file is named.
        """
        from seqit.records.account import Account
        from seqit.records.sink import Hashed, write_rows
        from seqit.records.sources import check_sources
        from seqit.records.stream import read_records
        from seqit.records.validation import schema as load_schema

        names = check_sources(self.sources)
        self._check_targets(names)
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(Path(self.rejects).open("wb")) if self.rejects else None
            reporter = _Reporter(self.context, kept)
            account = Account(self._name, reporter, self.strict, kept is not None)
            hashed: Hashed | None = None
            complete = False
            try:
                with self._sink(discard) as sink:
                    hashed = Hashed(sink) if self.manifest else None
                    rows = (read or read_records)(names, account, sink.flush)
                    if not self.quiet and self._is_watched():
                        rows = track(rows, self._name)
                    checked = load_schema(schema) if schema else None
                    write_rows(transform(rows, account), hashed or sink, account, checked)
                    account.close()
                complete = True
            finally:
                self._close(account, names, complete, hashed.sha256 if hashed else None)
        if account.failed:
            sys.exit(SOME_ROWS_FAILED)

    @property
    def _name(self) -> str:
        return self.context.command.name or ""

    def _check_targets(self, names: tuple[str, ...]) -> None:
        """Raise UsageError where one file would be two things, or has an ending for another."""
        from seqit.records.sink import check_target

        taken = {os.path.realpath(name): f"the source {name}" for name in names if name != "-"}
        for option, target in (("--rejects", self.rejects), ("--manifest", self.manifest)):
            if target is None:
                continue
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
                "options": {k: v for k, v in self.options.items() if v not in (None, (), {}, "")},
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
        from seqit.records.sink import encode

        if self._file:
            self._file.write(encode(reject) + b"\n")
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
