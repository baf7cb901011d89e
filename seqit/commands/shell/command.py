"""The click command class of all commands: error messages, exit codes, standard streams."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

import click

from seqit.commands.shell.progress import CLEAR
from seqit.commands.shell.unknown_option import explain_unknown_option
from seqit.errors import SeqitError, UsageError

INTERRUPTED, BROKEN_PIPE = 130, 141  # exit codes: 128 plus SIGINT, SIGPIPE


class SectionOption(click.Option):
    """An option that --help lists under the heading `section`."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Command(click.Command):
    """A click command with seqit's error messages and exit codes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["--help", "-h"]})
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--traceback"], is_flag=True, help="Show where in the code an error was raised."
            )
        )
        for option in (each for each in self.params if isinstance(each, click.Option)):
            # Named after the option; click would name it after the parameter.
            name = max(option.opts, key=len).removeprefix("--")
            option.envvar = f"SEQIT_{self.name}_{name}".replace("-", "_").upper()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, those without one first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                title = param.section if isinstance(param, SectionOption) else "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; the error for an unknown option suggests an existing one."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [name for param in self.get_params(ctx) for name in param.opts]
            message = explain_unknown_option(error.option_name, self.name or "", known)
            raise click.UsageError(message, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error becomes a message and an exit code."""
        traceback = ctx.params.pop("traceback", False)
        ctx.meta["traceback"] = traceback or ctx.meta.get("traceback", False)
        try:
            with error_boundary(ctx):
                return super().invoke(ctx)
        except BrokenPipeError:
            # The reader (head) closed the pipe: drop what Python would still flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            say(ctx, "interrupted")
            sys.exit(INTERRUPTED)


@contextlib.contextmanager
def error_boundary(ctx: click.Context) -> Iterator[None]:
    """Print the message of an exception raised in the block, and exit with its exit code.

    Usage errors are left to click, and BrokenPipeError to the caller.
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
        say(ctx, _message(error))
        sys.exit(error.exit_code if isinstance(error, SeqitError) else 1)


def _message(error: Exception) -> str:
    if isinstance(error, SeqitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return (
        f"a bug in seqit: {type(error).__name__}: {error}. Please report it, with what "
        "--traceback prints"
    )


def was_given(value: Any) -> bool:
    """Return whether an option has a value; 0 is one."""
    return value is not None and value is not False and value not in ((), {}, "")


def was_typed(name: str) -> bool:
    """Return whether a parameter was set on the command line, not by the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def say(ctx: click.Context, message: str) -> None:
    """Write one line to standard error, prefixed with the command's name; replaces progress."""
    start = CLEAR if sys.stderr.isatty() else ""
    click.echo(f"{start}{ctx.command_path}: {message}", err=True)


@contextlib.contextmanager
def claim_stdout() -> Iterator[IO[bytes]]:
    """Reserve standard output for records; what libraries print goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb", buffering=1 << 20) as records:
        os.dup2(2, 1)
        try:
            yield records
        except (BrokenPipeError, KeyboardInterrupt, SystemExit):
            # The reader has closed the pipe or may not read on: drop what is still buffered.
            os.dup2(os.open(os.devnull, os.O_WRONLY), records.fileno())
            raise
