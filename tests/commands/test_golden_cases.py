"""Golden cases: tests/cases/<command>/<name>/ holds the arguments and what must come out.

args   the command line after `seqit`, as a shell would split it; run in the case's folder
in     standard input, where there is any
out    standard output, to the byte
err    standard error, to the byte; without it nothing is asked of standard error
code   the exit code; without it 0
answers  what the model openai:test says, at a server on loopback; see case_answers.py

What every edit of a prompt or of the rule library changes is left out: versions and hashes of
both, and the tokens of prompts.

A new behaviour is a new folder. SEQIT_UPDATE_CASES=1 writes out, err and code anew: read the diff.
"""

import contextlib
import os
import re
import shlex

import pytest
from support.answering_server import AnsweringServer
from support.paths import CASES

from seqit.cli import group

LEFT_OUT = [
    (re.compile(r'("prompt":)"(?:[0-9a-f]{16}|builtin-\d+)"'), r'\1"HASH"'),
    (re.compile(r'("sha256":)"[0-9a-f]{64}"'), r'\1"HASH"'),
    (re.compile(r"(tokens )[\d,]+( \+ )"), r"\1N\2"),
    (re.compile(r'("prompt_tokens":)[1-9]\d*'), r"\1N"),
]
FOUND = sorted(path.parent for path in CASES.rglob("args"))


@contextlib.contextmanager
def model_of(case, unanswered):
    """Give the environment in which openai:test says what the case's file `answers` holds.

    What that does not answer is in the file `unanswered`.
    """
    if not (case / "answers").exists():
        yield {}
        return
    env = {"CASE_ANSWERS": str(case / "answers"), "CASE_UNANSWERED": str(unanswered)}
    with AnsweringServer("--answers", "support.case_answers:answer", env=env) as server:
        yield {"OPENAI_BASE_URL": server.url}


def left_out(text):
    """Return the text without what changes while the behaviour stays."""
    for pattern, shown in LEFT_OUT:
        text = pattern.sub(shown, text)
    return text


@pytest.mark.parametrize("case", FOUND, ids=lambda case: str(case.relative_to(CASES)))
def test_case(case, seqit, tmp_path):
    given, unanswered = case / "in", tmp_path / "unanswered"
    with model_of(case, unanswered) as env:
        ran = seqit(
            *shlex.split((case / "args").read_text()),
            stdin=given.read_bytes() if given.exists() else b"",
            cwd=case,
            **env,
        )
    out, err = left_out(ran.out.decode()), left_out(ran.err)
    assert not unanswered.exists(), unanswered.read_text()
    if os.environ.get("SEQIT_UPDATE_CASES"):
        (case / "out").write_text(out)
        (case / "code").unlink(missing_ok=True)
        if ran.code:
            (case / "code").write_text(f"{ran.code}\n")
        if ran.code or (case / "err").exists():
            (case / "err").write_text(err)
    assert out == (case / "out").read_text()
    code = case / "code"
    assert ran.code == (int(code.read_text()) if code.exists() else 0), ran.err
    if (case / "err").exists():
        assert err == (case / "err").read_text()


def test_every_folder_is_a_case():
    assert {path.parent for path in CASES.glob("*/*/*")} == set(FOUND)
    assert len(FOUND) >= 30


@pytest.mark.parametrize("command", sorted(set(group.commands) - {"demo"}))
def test_every_command_has_cases(command):
    assert len([case for case in FOUND if case.parent.name == command]) >= 2
