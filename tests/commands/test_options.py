"""One word means one thing: the options of all commands against CONTRIBUTING.md's table."""

import re
from collections import defaultdict

import click
import pytest
from support.paths import ROOT

from seqit.cli import group

# The options whose value differs between commands, with the reason.
DIFFERENT_VALUES = {
    "--batch-size": "requests of an evaluation, rows of an optimizer step",
    "--dtype": "the written weights may also keep the base's",
    "--format": "the formats that are written are fewer than those that are read",
    "-f / --format": "a result of SQL may be a table of any size",
    "--held-out": "mix also writes the held-out rows",
    "--model": "KIND:MODEL where a model answers, a path where one is trained",
    "-o / --output": "a file, or a folder",
}
# An option beside its own plural, with the reason.
PLURALS = {
    "--language": "--language is the language of the data; --languages joins parallel sources",
}


def _documented_options() -> dict[str, list[str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Options")[2]
    rows = re.findall(r"^\| `([^`]+)` \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert rows
    return {
        option: sorted(group.commands) if commands == "all" else commands.split(", ")
        for option, commands in rows
    }


def _options() -> dict[str, dict[str, str]]:
    """Return each option's commands, with the placeholder of its value there."""
    options: dict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted(group.commands):
        command = group.commands[name]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                names = " / ".join([*parameter.opts, *parameter.secondary_opts])
                value = "" if parameter.is_flag else parameter.make_metavar(click.Context(command))
                options[names][name] = value
    return options


OPTIONS = _options()


def test_the_table_lists_every_option_with_its_commands():
    assert _documented_options() == {option: [*where] for option, where in OPTIONS.items()}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_an_option_takes_the_same_value_in_every_command(option):
    values = set(OPTIONS[option].values())
    assert (len(values) > 1) == (option in DIFFERENT_VALUES), OPTIONS[option]


def test_an_option_has_one_spelling():
    longs = {name for option in OPTIONS for name in option.split(" / ") if name.startswith("--")}
    assert {name for name in longs if f"{name}s" in longs} == set(PLURALS)
    shorts = [name for option in OPTIONS for name in option.split(" / ") if name[1] != "-"]
    assert {short for short in shorts if shorts.count(short) > 1} == set()
