"""The options and commands that the documentation names exist."""

import ast
import re

import click
import pytest
from support.paths import ROOT

from seqit.cli import group

PAGES = [
    "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/scoring.md", "docs/paper-parser.md",
    "docs/tiny-sit/README.md", "recipes/README.md", "examples/README.md", "bench/README.md",
]  # fmt: skip
# Options of other programs: docker, and the scripts in bench/.
OTHER_PROGRAMS = {
    "README.md": {"--rm", "--target"},
    "bench/README.md": {
        "--co",
        "--concurrency",
        "--flat",
        "--new-tokens",
        "--only",
        "--runs",
        "--sizes",
    },
}
OPTIONS = {
    name: {
        option
        for parameter in command.params
        for option in parameter.opts + parameter.secondary_opts
    }
    | {"--help"}
    for name, command in group.commands.items()
    if isinstance(command, click.Command)
}
ALL_OPTIONS = set().union(*OPTIONS.values())


def _text(page):
    return (ROOT / page).read_text("utf-8").replace("\\\n", " ")


@pytest.mark.parametrize("page", PAGES)
def test_the_options_that_a_page_names_exist(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _text(page)))
    assert named - OTHER_PROGRAMS.get(page, set()) <= ALL_OPTIONS


@pytest.mark.parametrize("page", PAGES)
def test_the_options_of_a_command_line_are_the_commands_own(page):
    lines = re.findall(r"\bseqit[ -]([a-z]+)((?:[^|`#\n\"']|\"[^\"]*\"|'[^']*')*)", _text(page))
    for command, arguments in lines:
        if command in OPTIONS:
            unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", arguments)
            assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", unquoted)) <= OPTIONS[command], command


# Files whose strings have options of other programs.
OTHER_PROGRAMS_CODE = {
    "cli.py": {"--version"},
    "commands/augment.py": {"--no-"},  # followed by the name of a technique
    "evaluate/sandbox/sandbox.py": {"--security-opt"},
    "train/launch/nodes.py": {
        *("--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id"),
        *("--standalone", "--max-restarts", "--ntasks-per-node", "--gpus-per-node"),
    },
    "train/loop/provenance.py": {"--porcelain"},
    "train/model/card.py": {"--enable-lora", "--lora-modules"},
}
NO_MESSAGES = {"commands/shell/unknown_option.py", "evaluate/sandbox/launchers.py"}


def test_the_options_that_a_message_names_exist():
    wrong = {}
    for path in sorted((ROOT / "seqit").rglob("*.py")):
        name = str(path.relative_to(ROOT / "seqit"))
        if name in NO_MESSAGES:
            continue
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(texts)))
        if unknown := named - ALL_OPTIONS - OTHER_PROGRAMS_CODE.get(name, set()):
            wrong[name] = unknown
    assert wrong == {}
