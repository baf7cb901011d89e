"""Golden cases: tests/cases/<command>/<name>/ holds the arguments and what must come out.

args   the command line after `seqit`, as a shell would split it; run in the case's folder
in     standard input, where there is any
out    standard output, to the byte
err    standard error, to the byte; without it nothing is asked of standard error
code   the exit code; without it 0

A new behaviour is a new folder. SEQIT_UPDATE_CASES=1 writes out, err and code anew: read the diff.
"""

import os
import re
import shlex
from pathlib import Path

import pytest

from seqit.cli import group

CASES = Path(__file__).parent / "cases"
PROMPT = re.compile(rb'"prompt":"[0-9a-f]{16}"')  # changes with every edit of the rule library
FOUND = sorted(path.parent for path in CASES.rglob("args"))


@pytest.mark.parametrize("case", FOUND, ids=lambda case: str(case.relative_to(CASES)))
def test_case(case, seqit):
    given = case / "in"
    ran = seqit(
        *shlex.split((case / "args").read_text()),
        stdin=given.read_bytes() if given.exists() else b"",
        cwd=case,
    )
    out = PROMPT.sub(b'"prompt":"HASH"', ran.out)
    if os.environ.get("SEQIT_UPDATE_CASES"):
        (case / "out").write_bytes(out)
        (case / "code").unlink(missing_ok=True)
        if ran.code:
            (case / "code").write_text(f"{ran.code}\n")
        if ran.code or (case / "err").exists():
            (case / "err").write_text(ran.err)
    assert out.decode() == (case / "out").read_text()
    code = case / "code"
    assert ran.code == (int(code.read_text()) if code.exists() else 0), ran.err
    if (case / "err").exists():
        assert ran.err == (case / "err").read_text()


def test_every_folder_is_a_case():
    assert {path.parent for path in CASES.glob("*/*/*")} == set(FOUND)
    assert len(FOUND) >= 30


@pytest.mark.parametrize("command", sorted(set(group.commands) - {"demo"}))
def test_every_command_has_cases(command):
    assert len([case for case in FOUND if case.parent.name == command]) >= 2
