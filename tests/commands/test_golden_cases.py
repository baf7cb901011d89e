"""Golden cases: each folder tests/cases/<command>/<name>/ has the arguments and expected output.

args     the command line after `seqit`, split as by a shell; it runs in the case's folder
in       standard input, if any
out      standard output, byte for byte
err      standard error, byte for byte; not checked if the file is missing
code     the exit code; 0 if the file is missing
answers  the answers of the model openai:test, at a server on loopback; see case_answers.py

Values that change with every edit of a prompt or of the step library are masked: versions and
hashes of both, and the tokens of prompts.

A new behaviour is a new folder. SEQIT_UPDATE_CASES=1 rewrites out, err and code: read the diff.
"""

import contextlib
import os
import re
import shlex

import pytest
from support.answering_server import AnsweringServer
from support.paths import CASES

from seqit.cli import group

MASKED = [
    (re.compile(r'("prompt":)"(?:[0-9a-f]{16}|builtin-\d+)"'), r'\1"HASH"'),
    (re.compile(r'("sha256":)"[0-9a-f]{64}"'), r'\1"HASH"'),
    (re.compile(r"(tokens )[\d,]+( \+ )"), r"\1N\2"),
    (re.compile(r'("prompt_tokens":)[1-9]\d*'), r"\1N"),
]
CASE_FOLDERS = sorted(path.parent for path in CASES.rglob("args"))


@contextlib.contextmanager
def model_server(case, not_found):
    """Serve the answers of the case as openai:test; yield the environment to find the server.

    Requests without an answer are written to the file `not_found`.
    """
    if not (case / "answers").exists():
        yield {}
        return
    env = {"CASE_ANSWERS": str(case / "answers"), "CASE_NOT_FOUND": str(not_found)}
    with AnsweringServer("--answers", "support.case_answers:answer", env=env) as server:
        yield {"OPENAI_BASE_URL": server.url}


def mask(text):
    """Mask the values that change without a change of behaviour."""
    for pattern, replacement in MASKED:
        text = pattern.sub(replacement, text)
    return text


@pytest.mark.parametrize("case", CASE_FOLDERS, ids=lambda case: str(case.relative_to(CASES)))
def test_case(case, seqit, tmp_path):
    stdin, not_found = case / "in", tmp_path / "not_found"
    with model_server(case, not_found) as env:
        ran = seqit(
            *shlex.split((case / "args").read_text()),
            stdin=stdin.read_bytes() if stdin.exists() else b"",
            cwd=case,
            **env,
        )
    out, err = mask(ran.out.decode()), mask(ran.err)
    assert not not_found.exists(), not_found.read_text()
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
    assert {path.parent for path in CASES.glob("*/*/*")} == set(CASE_FOLDERS)
    assert len(CASE_FOLDERS) >= 30


@pytest.mark.parametrize("command", sorted(set(group.commands) - {"demo"}))
def test_every_command_has_cases(command):
    assert len([case for case in CASE_FOLDERS if case.parent.name == command]) >= 2
