"""Run a program of unknown intent against tests, where it can do no harm.

Each verdict takes two processes, the program's and the tests', each in a cell of its own: no
network, a file system of a few read-only libraries and a scratch directory in memory, an empty
environment, limits on CPU, memory, threads and output, no right but to compute. Linux alone.
"""

import contextlib
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.evaluate.sandbox.launchers import MEANS, Limits
from seqit.evaluate.sandbox.worker.syscalls import ALLOWED

_START = 30.0  # seconds that two cells may take to be there, on a busy machine
_PATIENCE = 3  # wall clock, in units of the CPU time
_MOST_SAID = 1 << 16  # bytes of a verdict
_KILLED = 128 + signal.SIGKILL


class SandboxUnavailable(SeqitError):
    """The machine cannot shut a program in; nothing is run."""


class SandboxBroken(SeqitError):
    """A cell could not be set up this time, so that there is no verdict."""


class TestResult(NamedTuple):
    """Whether a program passes; else `reason` is one of REASONS."""

    passed: bool
    reason: str = ""
    message: str = ""


REASONS = ("wrong", "error", "no-function", "ended", "timeout")
"""A test does not hold; an error rose; nothing of that name; the process ended; out of time."""


@dataclass(frozen=True)
class Sandbox:
    """Shuts programs in by `means`, which wraps the command line of a cell."""

    means: str
    wrap: Callable[[Limits], list[str]] = field(repr=False)
    limits: Limits = field(default_factory=Limits)

    def judge(self, prompt: str, test: str, entry_point: str, source: str) -> TestResult:
        """Run `check(function)` of the test on the function of this name that the source defines.

        The prompt's own definitions are there for the test. Raises SandboxBroken where there is
        no verdict, and UnusableTest where prompt and test are no program.
        """
        job = {"prompt": prompt, "test": test, "entry_point": entry_point, "source": source}
        with self._cells() as (candidate, tester):
            try:
                said = _exchange(tester, job, self.limits.seconds * _PATIENCE)
            except TimeoutError:
                return TestResult(False, "timeout", f"not done {_clock(self.limits)}")
            if said.get("reason") == "ended" and _ended_by_kill(candidate):
                message = f"killed after {self.limits.seconds:g} seconds of CPU"
                return TestResult(False, "timeout", message)
        if "broken" in said:
            raise SandboxBroken(f"the sandbox ({self.means}) could not be set up: {said['broken']}")
        if "unusable" in said:
            raise UnusableTest(f"the item's prompt and test do not run: {said['unusable']}")
        if said.get("passed") is True:
            return TestResult(True)
        return TestResult(False, str(said["reason"]), str(said["message"]))

    @contextlib.contextmanager
    def _cells(self) -> "Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]":
        calls, to_call = os.pipe()
        values, to_values = os.pipe()
        candidate = self._start("candidate", calls, to_values)
        tester = self._start("tester", None, None, values, to_call)
        for descriptor in (calls, to_call, values, to_values):
            os.close(descriptor)
        try:
            yield candidate, tester
        finally:
            for cell in (candidate, tester):
                cell.kill()  # with the process outside goes all that is in the cell
                cell.wait()
            for stream in (tester.stdin, tester.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()

    def _start(
        self, role: str, given: int | None, taken: int | None, *passed: int
    ) -> "subprocess.Popen[bytes]":
        limits = self.limits
        numbers = (ceil(limits.seconds), limits.memory, limits.scratch, *passed)
        command = [*self.wrap(limits), role, *map(str, numbers)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if given is None else given,
            stdout=subprocess.PIPE if taken is None else taken,
            stderr=subprocess.DEVNULL,
            pass_fds=passed,
            cwd="/",
            env={},
            start_new_session=True,
        )


class UnusableTest(SeqitError):
    """Prompt and test of an item are no program, whatever the answer."""


def open_sandbox(limits: Limits | None = None) -> Sandbox:
    """Return a sandbox that was tried on this machine; raises SandboxUnavailable."""
    problems = []
    if sys.platform != "linux" or platform.machine() not in ALLOWED:
        where = f"{sys.platform} on {platform.machine()}"
        problems.append(f"cells need Linux on x86_64 or aarch64, and this is {where}")
    else:
        for means, wrap in MEANS.items():
            if means == "bubblewrap" and not shutil.which("bwrap"):
                problems.append("bubblewrap (bwrap) is not installed")
                continue
            sandbox = Sandbox(means, wrap, limits or Limits())
            try:
                _try_out(sandbox)
            except (SeqitError, OSError) as error:
                problems.append(str(error))
            else:
                return sandbox
    raise SandboxUnavailable(
        f"code from a model is not run here, as nothing can shut it in: {'; '.join(problems)}. "
        "Install bubblewrap, allow user namespaces (sysctl user.max_user_namespaces), or score on "
        "another machine; a container needs --security-opt seccomp=unconfined or CAP_SYS_ADMIN"
    )


def _try_out(sandbox: Sandbox) -> None:
    test = "def check(f):\n    assert f() == 1"
    for source, passes in (("def f(): return 1", True), ("def f(): return 2", False)):
        verdict = sandbox.judge("def f():\n", test, "f", source)
        if verdict.passed is not passes:
            raise SandboxBroken(f"a program in a cell does not run ({verdict.message})")


def _exchange(tester: "subprocess.Popen[bytes]", job: dict[str, str], limit: float) -> Any:
    """Send the job and return the verdict; raises TimeoutError, `limit` seconds after the start."""
    assert tester.stdin is not None and tester.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # then it has something to say
        tester.stdin.write(json.dumps(job).encode() + b"\n")
        tester.stdin.flush()
    said = b""
    has_started = False
    deadline = time.monotonic() + _START
    source = tester.stdout.fileno()
    while said.count(b"\n") <= has_started:
        ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            if has_started:
                raise TimeoutError
            raise SandboxBroken(f"the sandbox was not set up in {_START:g} seconds")
        part = os.read(source, _MOST_SAID)
        said += part
        if len(said) > _MOST_SAID or not (part or has_started):
            raise SandboxBroken(f"the tests did not begin{_code(tester)}")
        if not part:  # values can be made so that to compare them takes too long
            return {"passed": False, "reason": "ended", "message": "the tests did not end"}
        if not has_started and said.startswith(b'{"started"'):
            has_started = True
            deadline = time.monotonic() + limit
    return json.loads(said.splitlines()[-1])


def _code(cell: "subprocess.Popen[bytes]") -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f" (exit code {cell.wait(1)})"
    return ""


def _ended_by_kill(cell: "subprocess.Popen[bytes]") -> bool:
    """Say whether the kernel killed what was in the cell, as it does at the limit of CPU time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return cell.wait(1) in (_KILLED, -signal.SIGKILL)
    return False


def _clock(limits: Limits) -> str:
    return f"after {limits.seconds * _PATIENCE:g} seconds"
