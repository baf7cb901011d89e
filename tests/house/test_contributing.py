"""The worked examples of CONTRIBUTING.md, extracted and run in a copy of the checkout.

A block with the first line "# PATH" is a new file, a diff block changes files, and a console block
has commands with their expected output.
"""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EXAMPLES = dict(
    re.findall(r"^### (.+?)\n(.*?)(?=^##)", PAGE.partition("## Worked examples")[2], re.M | re.S)
)
ENVIRONMENT = ".venv-test"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def apply_diff(folder: Path, text: str) -> None:
    """Apply a diff whose hunks have no line numbers; each must match exactly one place."""
    for name, hunks in re.findall(
        r"^--- a/\S+\n\+\+\+ b/(\S+)\n(.*?)(?=^--- a/|\Z)", text, re.M | re.S
    ):
        file = folder / name
        content = file.read_text("utf-8")
        for hunk in hunks.split("@@\n")[1:]:
            lines = hunk.splitlines()
            old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
            new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
            assert content.count(old) == 1, f"{name}: found {content.count(old)} times:\n{old}"
            content = content.replace(old, new)
        file.write_text(content, "utf-8")


def write_file(folder: Path, text: str) -> None:
    """Write a new file, with the path in the first line and the content in the others."""
    first, _, rest = text.partition("\n")
    file = folder / first.removeprefix("# ")
    assert not file.exists(), file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(rest, "utf-8")


def run_console(folder: Path, text: str) -> None:
    """Run the commands of a console block one by one, and compare their output with the page."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{folder / ENVIRONMENT / 'bin'}:{os.environ['PATH']}"},
            timeout=300,
        )
        assert done.stdout == expected, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the files in the repository, with uncommitted changes."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, folder / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def make_environment(folder: Path) -> None:
    """Make a virtual environment with the installed libraries and the folder's seqit.

    bin/test in the folder is replaced with pytest of this environment.
    """
    environment = folder / ENVIRONMENT
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/*/site-packages")
    (packages / "example.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    python = environment / "bin" / "python"
    for file, module in ((python.with_name("seqit"), "seqit"), (folder / "bin" / "test", "pytest")):
        file.write_text(f'#!/bin/sh\nexec {python} -m {module} "$@"\n')
        file.chmod(0o755)


def test_every_extension_point_has_an_example():
    assert len(EXAMPLES) == 7, EXAMPLES.keys()
    assert all("```console" in text for text in EXAMPLES.values())


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_works(title, checkout, tmp_path):
    folder = tmp_path / "seqit"
    shutil.copytree(checkout, folder, symlinks=True)
    make_environment(folder)
    for kind, text in BLOCK.findall(EXAMPLES[title]):
        if kind == "diff":
            apply_diff(folder, text)
        elif kind == "console":
            run_console(folder, text)
        else:
            write_file(folder, text)
