"""The sandbox: honest programs run, and nothing that a program tries gets out."""

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.escapes import ALL

from seqit.errors import SeqitError
from seqit.evaluate.metrics.humaneval import program
from seqit.evaluate.sandbox import sandbox as module
from seqit.evaluate.sandbox.launchers import Limits
from seqit.evaluate.sandbox.sandbox import (
    Sandbox,
    SandboxUnavailable,
    TestResult,
    UnusableTest,
    open_sandbox,
)

SECRET = 7_305_518_204  # what the tests expect, and no program can know
MARK = (512 << 20) + 4096 * 77  # a memory limit that marks the cells of this file
MEANS = ["namespaces", pytest.param("bubblewrap", marks=pytest.mark.slow)]


def opened(means: str, **limits: float) -> Sandbox:
    """Return a sandbox by these means; the test is skipped where the machine has them not."""
    if means == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap (bwrap) is not installed")
    box = Sandbox(means, module.MEANS[means], Limits(memory=MARK, **limits))
    try:
        module._try_out(box)
    except SeqitError as error:
        pytest.skip(str(error))
    return box


@pytest.fixture(scope="module", params=MEANS)
def box(request) -> Sandbox:
    return opened(request.param)


@pytest.fixture(scope="module", params=MEANS)
def hasty(request) -> Sandbox:
    """A sandbox with little patience, for programs that never end."""
    return opened(request.param, seconds=0.2)


def run(box: Sandbox, source: str, expected: object = 1) -> TestResult:
    test = f"def check(candidate):\n    assert candidate() == {expected!r}"
    return box.judge("def f():\n", test, "f", source)


def cells() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(MARK).encode() in words:
            found.append(path.parent.name)
    return found


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """What lies outside: a server, a file in a folder, a secret in the environment."""
    folder = tmp_path_factory.mktemp("outside")
    file = folder / "precious"
    file.write_text("untouched")
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as other:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        other.bind(str(folder / "socket"))
        other.listen()
        os.environ["SECRET_KEY"] = "sk-not-to-be-seen"
        before = sorted(path.name for path in folder.iterdir())
        yield {
            "port": server.getsockname()[1],
            "file": file,
            "folder": folder,
            "secret": os.environ["SECRET_KEY"],
        }
        del os.environ["SECRET_KEY"]
        assert file.read_text() == "untouched"
        assert sorted(path.name for path in folder.iterdir()) == before
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", ALL)
def test_no_attempt_gets_out(name, hasty, outside):
    if name == "many-files" and hasty.means == "bubblewrap":
        pytest.skip("bwrap limits the bytes of a scratch directory, not the number of files")
    source = ALL[name].format(**outside).replace("SECRET", repr(SECRET))
    verdict = run(hasty, source, SECRET)
    assert not verdict.passed
    assert verdict.reason in module.REASONS
    assert str(outside["secret"]) not in verdict.message


def test_the_attempts_are_programs_that_can_succeed(outside):
    # An attempt with a slip would fail for that alone.
    for name, source in ALL.items():
        compile(source.format(**outside), name, "exec")
    assert sum("SECRET" in source for source in ALL.values()) >= 40


HARMLESS = ("udp", "read-outside", "hard-link", "climb-up", "fork", "system", "memory-file")


@pytest.mark.parametrize("name", HARMLESS)
def test_the_same_attempt_succeeds_outside(name, outside, tmp_path):
    source = ALL[name].format(**outside).replace("SECRET", repr(SECRET))
    source += "\nimport os; os._exit(0 if f() else 1)"
    if name == "fork":
        source = source.replace("while True:\n        pass", "os._exit(0)")
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, timeout=60)
    assert done.returncode == 0


def test_no_process_is_left_behind(hasty):
    run(hasty, ALL["sleep"].format().replace("SECRET", "1"))
    run(hasty, ALL["many-threads"].format().replace("SECRET", "1"))
    deadline = time.monotonic() + 20
    while cells() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cells() == []


KILLED = """
import sys
from seqit.evaluate.sandbox import launchers, sandbox
means, memory = sys.argv[1:]
box = sandbox.Sandbox(means, sandbox.MEANS[means], launchers.Limits(60, int(memory)))
print("there", flush=True)
box.judge("def f():\\n", "def check(f): f()", "f", "import time\\ndef f(): time.sleep(1000)")
"""


@pytest.mark.parametrize("means", MEANS)
def test_the_cells_die_with_seqit(means):
    opened(means)
    command = [sys.executable, "-c", KILLED, means, str(MARK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        deadline = time.monotonic() + 20
        while len(cells()) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(cells()) > 1
        process.kill()
    while cells() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cells() == []


# --- honest programs --------------------------------------------------------------------------


VALUES = [
    *(None, True, False, 0, -7, 1 << 5000, 0.1, -0.0, 1e300, "", "é\u2028\0", "\ud800", b"\xff"),
    *([1, [2, (3, {4})]], (1,), (), {1: "a", (1, 2): [None]}, {1, 2}, frozenset("a"), 1 + 2j),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_come_out_as_they_are(value, box):
    test = (
        "def check(candidate):\n"
        f"    got = candidate({value!r})\n"
        f"    assert got == {value!r} and type(got) is type({value!r}), got"
    )
    assert box.judge("def f(x):\n", test, "f", "def f(x): return x") == TestResult(True)


def test_numbers_that_equal_nothing(box):
    test = "import math\ndef check(f):\n    a, b = f()\n    assert math.isnan(a) and math.isinf(b)"
    source = "def f(): return float('nan'), float('inf')"
    assert box.judge("def f():\n", test, "f", source).passed


def test_exceptions_come_out_as_what_they_are(box):
    test = """
def check(candidate):
    for kind in (ValueError, KeyError, ZeroDivisionError):
        try:
            candidate(kind.__name__)
        except kind:
            continue
        assert False
"""
    source = "import builtins\ndef f(name): raise getattr(builtins, name)('x')"
    assert box.judge("def f(name):\n", test, "f", source).passed


@pytest.mark.parametrize(
    "source, reason, said",
    [
        ("def f(): return 2", "wrong", "a test does not hold"),
        ("def f(): return 1 / 0", "error", "ZeroDivisionError"),
        ("def f(:", "error", "SyntaxError"),
        ("import numpy", "error", "ModuleNotFoundError"),
        ("def g(): return 1", "no-function", "does not define f"),
        ("f = 1", "no-function", "does not define f"),
        ("import os\ndef f(): os._exit(0)", "ended", "ended before it returned"),
        ("def f(): return input()", "error", "EOFError"),
    ],
)
def test_a_verdict_says_why(source, reason, said, box):
    verdict = run(box, source)
    assert (verdict.passed, verdict.reason) == (False, reason)
    assert said in verdict.message


def test_time_is_measured_by_cpu_and_by_the_clock(hasty):
    busy, idle = run(hasty, "def f():\n    while 1: pass"), run(hasty, ALL["sleep"].format())
    assert busy.reason == idle.reason == "timeout"


def test_threads_and_the_standard_library_are_there(box):
    source = """
import collections, decimal, hashlib, heapq, itertools, json, math, random, re, statistics, string
from concurrent.futures import ThreadPoolExecutor
def f():
    open("notes", "w").write("a scratch directory")
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(int, ["0", "1"]))
"""
    assert run(box, source).passed


@pytest.mark.parametrize("test", ["def check(:", "import nonsense", "check = 1", ""])
def test_a_test_that_does_not_run_is_no_verdict(test, box):
    with pytest.raises(UnusableTest):
        box.judge("def f():\n", test, "f", "def f(): return 1")


def test_no_sandbox_is_a_sentence(monkeypatch):
    monkeypatch.setattr(module, "MEANS", {"namespaces": lambda limits: ["/bin/false"]})
    with pytest.raises(SandboxUnavailable, match=r"not run here.*Install bubblewrap"):
        open_sandbox()
    monkeypatch.setattr(module.platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        open_sandbox()


# --- HumanEval --------------------------------------------------------------------------------

BROKEN = """

def _broken(function):
    def off(*arguments):
        value = function(*arguments)
        if isinstance(value, bool) or value is None:
            return not value
        if isinstance(value, str):
            return value + "x"
        if isinstance(value, (list, tuple)):
            return value + type(value)([0])
        return value | {"x": 1} if isinstance(value, dict) else value + 1
    return off

%s = _broken(%s)
"""


@pytest.fixture(scope="module")
def humaneval(data):
    rows = gzip.decompress((data / "humaneval" / "HumanEval.jsonl.gz").read_bytes()).splitlines()
    assert len(rows) == 164
    return [json.loads(row) for row in rows]


def judged(rows, completions, means="namespaces") -> list[TestResult]:
    box = opened(means, seconds=10)

    def one(row, completion):
        return box.judge(row["prompt"], row["test"], row["entry_point"], completion)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, rows, completions))


def solutions(rows):
    for row in rows:
        source = program(row["canonical_solution"], row["prompt"], row["entry_point"])
        assert source == row["prompt"] + row["canonical_solution"]
        yield source


def spoilt(row, source):
    name = row["entry_point"]
    return source + BROKEN % (name, name)


def test_solutions_pass_and_spoilt_ones_fail(humaneval):
    rows = humaneval[::16]
    good = list(solutions(rows))
    assert all(verdict.passed for verdict in judged(rows, good))
    bad = list(map(spoilt, rows, good))
    assert not any(verdict.passed for verdict in judged(rows, bad))


@pytest.mark.slow
@pytest.mark.parametrize("means", MEANS)
def test_all_solutions_pass(means, humaneval):
    verdicts = judged(humaneval, solutions(humaneval), means)
    assert [v for v in verdicts if not v.passed] == []


@pytest.mark.slow
def test_all_spoilt_solutions_fail(humaneval):
    bad = list(map(spoilt, humaneval, solutions(humaneval)))
    verdicts = judged(humaneval, bad)
    assert [row["task_id"] for row, v in zip(humaneval, verdicts, strict=True) if v.passed] == []
    assert {v.reason for v in verdicts} <= {"wrong", "error"}


def test_the_published_samples_get_the_published_verdicts(data):
    box = opened("namespaces", seconds=1)
    folder = data / "humaneval"
    problem = json.loads((folder / "example_problem.jsonl").read_bytes())
    lines = (folder / "example_samples.jsonl").read_bytes().splitlines()
    verdicts = []
    for line in lines:
        source = program(json.loads(line)["completion"], problem["prompt"], problem["entry_point"])
        verdicts.append(
            box.judge(problem["prompt"], problem["test"], problem["entry_point"], source)
        )
    assert [v.passed for v in verdicts] == [False, False, False, True, True, True]
    assert [v.reason for v in verdicts[:3]] == ["error", "timeout", "error"]
