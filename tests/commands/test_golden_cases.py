"""Golden cases: each folder tests/cases/<command>/<name>/ has the arguments and expected output.

args     the command line after `seqit`, split as by a shell; it runs in the case's folder
in       standard input, if any
out      standard output, byte for byte
err      standard error, byte for byte; not checked if the file is missing
code     the exit code; 0 if the file is missing
answers  the answers of the model openai:test, at a server on loopback; see case_answers.py

$MODEL in args is the folder of a tiny random model, and $OUT a folder that does not exist. They,
and $BIN, stand for the paths in out and err. Where torch is not installed, cases with $MODEL are
skipped.

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
from support.paths import BIN, CASES
from support.tiny_model import make_model

from seqit.cli import group

MASKED = [
    (re.compile(r'("prompt":)"(?:[0-9a-f]{16}|builtin-\d+)"'), r'\1"HASH"'),
    (re.compile(r'("sha256":)"[0-9a-f]{64}"'), r'\1"HASH"'),
    (re.compile(r"(tokens )[\d,]+( \+ )"), r"\1N\2"),
    (re.compile(r'("prompt_tokens":)[1-9]\d*'), r"\1N"),
]
CASE_FOLDERS = sorted(path.parent for path in CASES.rglob("args"))
WITH_MODEL = [case for case in CASE_FOLDERS if "$MODEL" in (case / "args").read_text()]
WITHOUT_MODEL = [case for case in CASE_FOLDERS if case not in WITH_MODEL]


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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("torch", reason="torch is not installed")
    return make_model(tmp_path_factory.mktemp("model"))


def mask(text):
    """Mask the values that change without a change of behaviour."""
    for pattern, replacement in MASKED:
        text = pattern.sub(replacement, text)
    return text


def _name(case):
    return str(case.relative_to(CASES))


def _replaced(text, replacements):
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def check(case, seqit, tmp_path, folders):
    """Run a case and compare the results; `folders`: the paths that names in args stand for."""
    stdin, not_found = case / "in", tmp_path / "not_found"
    args = shlex.split((case / "args").read_text())
    with model_server(case, not_found) as env:
        ran = seqit(
            *(_replaced(argument, folders) for argument in args),
            stdin=stdin.read_bytes() if stdin.exists() else b"",
            cwd=case,
            **env,
        )
    names = {str(BIN): "$BIN"} | {path: name for name, path in folders.items()}
    out, err = (mask(_replaced(text, names)) for text in (ran.out.decode(), ran.err))
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


@pytest.mark.parametrize("case", WITHOUT_MODEL, ids=_name)
def test_case(case, seqit, tmp_path):
    check(case, seqit, tmp_path, {})


@pytest.mark.parametrize("case", WITH_MODEL, ids=_name)
def test_case_with_a_model(case, model, seqit, tmp_path):
    check(case, seqit, tmp_path, {"$MODEL": str(model), "$OUT": str(tmp_path / "out")})


def test_every_folder_is_a_case():
    assert {path.parent for path in CASES.glob("*/*/*")} == set(CASE_FOLDERS)
    assert len(CASE_FOLDERS) >= 30


@pytest.mark.parametrize("command", sorted(set(group.commands) - {"demo"}))
def test_every_command_has_cases(command):
    assert len([case for case in CASE_FOLDERS if case.parent.name == command]) >= 2
