"""The group `seqit`, and the same commands by themselves as `seqit-<command>`."""

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from seqit import __version__
from seqit.commands import (
    augment,
    bench,
    cache,
    compare,
    demo,
    export,
    filter,
    import_,
    judge,
    merge,
    mix,
    pipe,
    respond,
    score,
    sql,
    train,
    validate,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="seqit")
def group() -> None:
    """Sequential instruction tuning: make chains of instructions, train on them, and evaluate.

    Commands read SOURCEs or standard input and write records to standard output:

    \b
        seqit-import seeds.json | seqit-augment | seqit-filter > sit.jsonl
    """


for module in (
    import_,
    export,
    validate,
    augment,
    filter,
    mix,
    train,
    merge,
    pipe,
    respond,
    judge,
    score,
    bench,
    sql,
    compare,
    cache,
    demo,
):
    group.add_command(module.command)


def main() -> None:
    """Run the group, or the single command in the program's name (seqit-filter)."""
    # Without a handler, temporary files would stay, and the first process of a container would
    # ignore the signal.
    signal.signal(signal.SIGTERM, _terminate)
    program = Path(sys.argv[0]).name.replace("__main__.py", "seqit")
    name = program.removeprefix("seqit-")
    command = group.commands.get(name) if name != program else group
    if command is None:
        raise SystemExit(f"{program}: no such command; see seqit --help")
    command.main(prog_name=program)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
