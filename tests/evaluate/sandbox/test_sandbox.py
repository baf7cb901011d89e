"""The sandbox: honest programs run, and no program can escape."""

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
from seqit.evaluate.metrics.humaneval import extract_program
from seqit.evaluate.sandbox import sandbox as module
from seqit.evaluate.sandbox.launchers import Limits
from seqit.evaluate.sandbox.sandbox import (
    Sandbox,
    SandboxUnavailable,
    UnusableTest,
    open_sandbox,
)
from seqit.evaluate.sandbox.sandbox import (
    TestResult as Result,  # a name that pytest does not collect
)

SECRET = 7_305_518_204  # what the tests expect, and no program can know
# An odd memory limit, by which the workers of this test process are recognized.
MEMORY = (512 << 20) + 4096 * (1 + os.getpid() % 4096)
LAUNCHERS = ["namespaces", pytest.param("bubblewrap", marks=pytest.mark.slow)]


def open_or_skip(launcher: str, **limits: float) -> Sandbox:
    """Return a sandbox with this launcher; skip the test if it does not work on this machine."""
    if launcher == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap (bwrap) is not installed")
    box = Sandbox(launcher, module.LAUNCHERS[launcher], Limits(memory=MEMORY, **limits))
    try:
        module._self_test(box)
    except SeqitError as error:
        pytest.skip(str(error))
    return box


@pytest.fixture(scope="module", params=LAUNCHERS)
def box(request) -> Sandbox:
    return open_or_skip(request.param)


@pytest.fixture(scope="module", params=LAUNCHERS)
def impatient(request) -> Sandbox:
    """A sandbox with a short time limit, for programs that never end."""
    return open_or_skip(request.param, seconds=0.2)


def run(box: Sandbox, source: str, expected: object = 1) -> Result:
    test = f"def check(candidate):\n    assert candidate() == {expected!r}"
    return box.run_tests("def f():\n", test, "f", source)


def workers() -> list[str]:
    """Return the process ids of the workers that this file started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(MEMORY).encode() in words:
            found.append(path.parent.name)
    return found


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """What is outside the sandbox: a server, a file in a folder, a secret in the environment."""
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
def test_no_attempt_escapes(name, impatient, outside):
    if name == "many-files" and impatient.launcher == "bubblewrap":
        pytest.skip("bwrap limits the bytes of a scratch directory, not the number of files")
    source = ALL[name].format(**outside).replace("SECRET", repr(SECRET))
    result = run(impatient, source, SECRET)
    assert not result.passed
    assert result.reason in module.REASONS
    assert str(outside["secret"]) not in result.message


def test_the_attempts_are_valid_programs(outside):
    # A program with a mistake would fail in any case.
    for name, source in ALL.items():
        compile(source.format(**outside), name, "exec")
    assert sum("SECRET" in source for source in ALL.values()) >= 40


HARMLESS = ("udp", "read-outside", "hard-link", "climb-up", "fork", "system", "memory-file")


@pytest.mark.parametrize("name", HARMLESS)
def test_the_same_attempt_succeeds_outside_the_sandbox(name, outside, tmp_path):
    source = ALL[name].format(**outside).replace("SECRET", repr(SECRET))
    source += "\nimport os; os._exit(0 if f() else 1)"
    if name == "fork":
        source = source.replace("while True:\n        pass", "os._exit(0)")
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, timeout=60)
    assert done.returncode == 0


def test_no_process_is_left_behind(impatient):
    run(impatient, ALL["sleep"].format().replace("SECRET", "1"))
    run(impatient, ALL["many-threads"].format().replace("SECRET", "1"))
    deadline = time.monotonic() + 20
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers() == []


KILLED = """
import sys
from seqit.evaluate.sandbox import launchers, sandbox
launcher, memory = sys.argv[1:]
box = sandbox.Sandbox(launcher, sandbox.LAUNCHERS[launcher], launchers.Limits(60, int(memory)))
print("ready", flush=True)
box.run_tests("def f():\\n", "def check(f): f()", "f", "import time\\ndef f(): time.sleep(1000)")
"""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_workers_die_with_seqit(launcher):
    open_or_skip(launcher)
    command = [sys.executable, "-c", KILLED, launcher, str(MEMORY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        deadline = time.monotonic() + 20
        while len(workers()) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers()) > 1
        process.kill()
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers() == []


# --- honest programs --------------------------------------------------------------------------


VALUES = [
    *(None, True, False, 0, -7, 1 << 5000, 0.1, -0.0, 1e300, "", "é\u2028\0", "\ud800", b"\xff"),
    *([1, [2, (3, {4})]], (1,), (), {1: "a", (1, 2): [None]}, {1, 2}, frozenset("a"), 1 + 2j),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_are_returned_unchanged(value, box):
    test = (
        "def check(candidate):\n"
        f"    got = candidate({value!r})\n"
        f"    assert got == {value!r} and type(got) is type({value!r}), got"
    )
    assert box.run_tests("def f(x):\n", test, "f", "def f(x): return x") == Result(True)


def test_numbers_that_equal_nothing(box):
    test = "import math\ndef check(f):\n    a, b = f()\n    assert math.isnan(a) and math.isinf(b)"
    source = "def f(): return float('nan'), float('inf')"
    assert box.run_tests("def f():\n", test, "f", source).passed


def test_exceptions_keep_their_type(box):
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
    assert box.run_tests("def f(name):\n", test, "f", source).passed


@pytest.mark.parametrize(
    "source, reason, message",
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
def test_a_failed_result_says_why(source, reason, message, box):
    result = run(box, source)
    assert (result.passed, result.reason) == (False, reason)
    assert message in result.message


def test_time_is_limited_by_cpu_and_by_the_clock(impatient):
    busy = run(impatient, "def f():\n    while 1: pass")
    idle = run(impatient, ALL["sleep"].format())
    assert busy.reason == idle.reason == "timeout"


def test_threads_and_the_standard_library_are_available(box):
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
def test_a_test_that_does_not_run_gives_no_result(test, box):
    with pytest.raises(UnusableTest):
        box.run_tests("def f():\n", test, "f", "def f(): return 1")


def test_without_a_sandbox_there_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(module, "LAUNCHERS", {"namespaces": lambda limits: ["/bin/false"]})
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


def run_all(rows, programs, launcher="namespaces") -> list[Result]:
    box = open_or_skip(launcher, seconds=10)

    def one(row, source):
        return box.run_tests(row["prompt"], row["test"], row["entry_point"], source)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, rows, programs))


def solutions(rows):
    for row in rows:
        source = extract_program(row["canonical_solution"], row["prompt"], row["entry_point"])
        assert source == row["prompt"] + row["canonical_solution"]
        yield source


def break_program(row, source):
    name = row["entry_point"]
    return source + BROKEN % (name, name)


def test_solutions_pass_and_broken_ones_fail(humaneval):
    rows = humaneval[::16]
    good = list(solutions(rows))
    assert all(result.passed for result in run_all(rows, good))
    bad = list(map(break_program, rows, good))
    assert not any(result.passed for result in run_all(rows, bad))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_all_solutions_pass(launcher, humaneval):
    results = run_all(humaneval, solutions(humaneval), launcher)
    assert [result for result in results if not result.passed] == []


@pytest.mark.slow
def test_all_broken_solutions_fail(humaneval):
    bad = list(map(break_program, humaneval, solutions(humaneval)))
    results = run_all(humaneval, bad)
    passed = [row["task_id"] for row, r in zip(humaneval, results, strict=True) if r.passed]
    assert passed == []
    assert {result.reason for result in results} <= {"wrong", "error"}


def test_the_published_samples_get_the_published_results(data):
    box = open_or_skip("namespaces", seconds=1)
    folder = data / "humaneval"
    problem = json.loads((folder / "example_problem.jsonl").read_bytes())
    lines = (folder / "example_samples.jsonl").read_bytes().splitlines()
    prompt, test, name = problem["prompt"], problem["test"], problem["entry_point"]
    completions = [json.loads(line)["completion"] for line in lines]
    sources = [extract_program(completion, prompt, name) for completion in completions]
    results = [box.run_tests(prompt, test, name, source) for source in sources]
    assert [result.passed for result in results] == [False, False, False, True, True, True]
    assert [result.reason for result in results[:3]] == ["error", "timeout", "error"]
