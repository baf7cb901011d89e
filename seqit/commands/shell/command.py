"""The shell around every command: errors become sentences and exit codes, streams stay clean."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

import click

from seqit.commands.shell.progress import CLEAR
from seqit.errors import SeqitError, UsageError

INTERRUPTED, READER_GONE = 130, 141


class SectionOption(click.Option):
    """An option that --help lists under a heading of its own."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options; those of a section stand together, after the others."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                title = param.section if isinstance(param, SectionOption) else "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become a sentence and an exit code."""
        asked = ctx.params.pop("traceback", False)
        ctx.meta["traceback"] = asked or ctx.meta.get("traceback", False)
        try:
            with error_boundary(ctx):
                return super().invoke(ctx)
        except BrokenPipeError:
            # The reader has enough (head): whatever Python still flushes at exit goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(READER_GONE)
        except KeyboardInterrupt:
            say(ctx, "interrupted")
            sys.exit(INTERRUPTED)


@contextlib.contextmanager
def error_boundary(ctx: click.Context) -> Iterator[None]:
    """Turn an error of the block into a sentence of this command, and its exit code.

    A reader that is gone is none of this command's errors, and passes.
    """
    try:
        yield
    except UsageError as error:
        raise click.UsageError(str(error), ctx) from None
    except (BrokenPipeError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if ctx.meta["traceback"]:
            raise
        say(ctx, _sentence(error))
        sys.exit(error.exit_code if isinstance(error, SeqitError) else 1)


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


def was_given(value: Any) -> bool:
    """Tell whether an option's value says that it was given; 0 says so, too."""
    return value is not None and value is not False and value not in ((), {}, "")


def was_typed(name: str) -> bool:
    """Tell whether a parameter was given on the command line, not by the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


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
