"""docs/commands.md is the output of --help; SEQIT_UPDATE_CASES=1 rewrites it."""

import os

import click
import pytest
from support.paths import ROOT

from seqit.cli import group

REFERENCE = ROOT / "docs" / "commands.md"
HEADER = """\
# Commands

Generated from `--help` (`SEQIT_UPDATE_CASES=1 bin/test tests/commands/test_reference.py`). Each
command is also a separate program: `seqit filter` and `seqit-filter` are the same. The environment
variable `SEQIT_<COMMAND>_<OPTION>` sets an option.
"""


def reference() -> str:
    parts = [HEADER]
    for name in (
        *("import", "augment", "filter", "mix", "train", "merge", "pipe", "respond", "judge"),
        *("score", "bench", "sql", "compare", "export", "validate", "cache", "demo"),
    ):
        command = group.commands[name]
        settings = command.context_settings | {"terminal_width": 80}
        context = click.Context(command, info_name=f"seqit {name}", **settings)
        parts.append(f"\n## {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "".join(parts)


def pinned_click() -> str:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    return next(pin.removeprefix("click==") for pin in pins if pin.startswith("click=="))


def test_the_reference_is_up_to_date():
    from importlib.metadata import version

    if version("click") != pinned_click():
        pytest.skip(f"help is laid out by click {version('click')}, not by the pinned one")
    if os.environ.get("SEQIT_UPDATE_CASES"):
        REFERENCE.write_text(reference())
    assert REFERENCE.read_text() == reference()


def test_the_reference_has_every_command():
    assert [name for name in group.commands if f"\n## {name}\n" not in reference()] == []


def test_every_option_has_a_help_text():
    for command in group.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("schema", "method"):
                assert option.help, f"{command.name} {option.opts}"
