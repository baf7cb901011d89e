"""seqit pipe: run several commands in one process, without serializing records in between."""

import shlex
import sys
from collections.abc import Callable, Iterator

import click

from seqit.commands import augment, export, filter, import_, mix, validate
from seqit.commands.shell.command import Command
from seqit.commands.shell.job import SOME_ROWS_FAILED
from seqit.commands.shell.pipeline_slot import PipelineSlot, RowLink
from seqit.errors import UsageError

COMMANDS: dict[str, click.Command] = {
    str(module.command.name): module.command
    for module in (import_, augment, filter, mix, export, validate)
}
SHELL_SYNTAX = "<>;&$`()"
"""Characters with a meaning in a shell if they are not quoted."""


@click.command("pipe", cls=Command, short_help="Run several commands in one process.")
@click.argument("commands", nargs=-1, metavar="'COMMAND | COMMAND …'", required=True)
@click.pass_context
def command(ctx: click.Context, commands: tuple[str, ...]) -> None:
    """Run a pipe of commands as a shell would, without writing and reading between them.

    \b
        seqit pipe 'import --format alpaca seeds.json | augment --seed 7 | filter -o sit.jsonl'

    Rows, rejects and manifests equal those of the shell's pipe; --workers has no effect. Words
    are quoted as in a shell; other shell syntax is not supported. If a command fails, the pipe
    stops, and no -o file is written. Commands: import (only as the first), augment, filter,
    mix of one source, export, validate (only as the last).
    """
    if len(commands) > 1:
        raise UsageError("put the whole pipe in quotes: seqit pipe 'filter a.jsonl | mix'")
    Pipe(ctx, [shlex.split(text) for text in split_commands(commands[0])]).run()


class Pipe:
    """Commands, each run by the previous one, from which it pulls rows one by one."""

    def __init__(self, ctx: click.Context, commands: list[list[str]]) -> None:
        self._parent = ctx.parent
        self._contexts: list[click.Context] = []
        for words in commands:
            self._contexts.append(self._context(words))
        for number, context in enumerate(self._contexts[:-1], start=1):
            context.obj.run_next = self._runner(number)

    def run(self) -> None:
        """Run all commands; exits with 3 if rows failed in one of them."""
        self._invoke(0)
        if any(context.obj.some_failed for context in self._contexts):
            sys.exit(SOME_ROWS_FAILED)

    def _context(self, words: list[str]) -> click.Context:
        name, arguments = words[0].removeprefix("seqit-"), words[1:]
        if name == "seqit" and arguments:
            name, *arguments = arguments
        if name not in COMMANDS:
            from seqit.records.validation import did_you_mean

            raise UsageError(
                f"there is no command {name!r} for a pipe{did_you_mean(name, list(COMMANDS))}; "
                f"commands of a pipe are {', '.join(COMMANDS)}"
            )
        if name == "import" and self._contexts:
            raise UsageError("import reads rows of other formats: it can only be the first command")
        # The command's name outside a pipe, for its messages.
        full_name = name if self._parent else f"seqit-{name}"
        return COMMANDS[name].make_context(full_name, arguments, self._parent, obj=PipelineSlot())

    def _runner(self, number: int) -> Callable[[RowLink], None]:
        def run_next(link: RowLink) -> None:
            self._contexts[number].obj.link = link
            self._invoke(number)

        return run_next

    def _invoke(self, number: int) -> None:
        with self._contexts[number] as context:
            context.command.invoke(context)


def split_commands(text: str) -> Iterator[str]:
    """Yield the commands of a pipe, separated by unquoted bars.

    Raises UsageError for an empty command, an open quote, and other shell syntax.
    """
    command, quote, escaped = "", "", False
    for char in f"{text}|":
        if escaped or (quote and char != quote):
            escaped = not escaped and char == "\\" and quote == '"'
        elif char == "\\" or char in "'\"":
            escaped = char == "\\"
            quote = "" if escaped or quote else char
        elif char in SHELL_SYNTAX:
            raise UsageError(
                f"{char!r} is not quoted: a pipe has no redirections, variables or other shell "
                "syntax; quote it, or name files with -o, --rejects and SOURCE"
            )
        elif char == "|":
            if not command.strip():
                raise UsageError("a command is missing: write 'import a.json | filter -o b.jsonl'")
            yield command
            command = ""
            continue
        command += char
    if command:
        raise UsageError("a quote is not closed, or nothing follows a backslash")
