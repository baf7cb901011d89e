"""Run untrusted programs against tests in a sandbox (Linux only).

Each run takes two worker processes, one for the program and one for the tests, each in its own
sandbox: no network, a file system of a few read-only libraries and a scratch directory in memory,
an empty environment, limits on CPU, memory, threads and output, no capabilities, and only the
system calls that computation needs.
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
from seqit.evaluate.sandbox.launchers import LAUNCHERS, Limits
from seqit.evaluate.sandbox.worker.syscalls import ALLOWED

_START_TIMEOUT = 30.0  # seconds until both workers are ready, on a busy machine
_CLOCK_FACTOR = 3  # wall-clock limit, as a multiple of the CPU limit
_MAX_RESULT_BYTES = 1 << 16
_KILLED = 128 + signal.SIGKILL


class SandboxUnavailable(SeqitError):
    """Raised when this machine cannot isolate a program; no program is run."""


class SandboxBroken(SeqitError):
    """Raised when a worker could not be set up this time, so that there is no test result."""


class TestResult(NamedTuple):
    """Whether a program passes its tests; if not, `reason` is one of REASONS."""

    passed: bool
    reason: str = ""
    message: str = ""


REASONS = ("wrong", "error", "no-function", "ended", "timeout")
"""A test failed; an exception was raised; no function of that name; the process ended; timeout."""


@dataclass(frozen=True)
class Sandbox:
    """Runs programs in isolated workers.

    launcher: a name in LAUNCHERS. command: returns the command line that starts a worker.
    """

    launcher: str
    command: Callable[[Limits], list[str]] = field(repr=False)
    limits: Limits = field(default_factory=Limits)

    def run_tests(self, prompt: str, test: str, entry_point: str, source: str) -> TestResult:
        """Call `check(function)` of the test with the function of this name defined by the source.

        The test can use the definitions of the prompt. Raises SandboxBroken if there is no result,
        and UnusableTest if prompt and test cannot be run.
        """
        job = {"prompt": prompt, "test": test, "entry_point": entry_point, "source": source}
        with self._workers() as (candidate, tester):
            try:
                reply = _run_job(tester, job, self.limits.seconds * _CLOCK_FACTOR)
            except TimeoutError:
                return TestResult(False, "timeout", f"not done {_clock_limit(self.limits)}")
            if reply.get("reason") == "ended" and _was_killed(candidate):
                message = f"killed after {self.limits.seconds:g} seconds of CPU"
                return TestResult(False, "timeout", message)
        if "broken" in reply:
            raise SandboxBroken(
                f"the sandbox ({self.launcher}) could not be set up: {reply['broken']}"
            )
        if "unusable" in reply:
            raise UnusableTest(f"the item's prompt and test do not run: {reply['unusable']}")
        if reply.get("passed") is True:
            return TestResult(True)
        return TestResult(False, str(reply["reason"]), str(reply["message"]))

    @contextlib.contextmanager
    def _workers(self) -> "Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]":
        """Start the candidate and the tester, connected by two pipes; kill both at exit."""
        calls, to_call = os.pipe()
        values, to_values = os.pipe()
        candidate = self._start_worker("candidate", calls, to_values)
        tester = self._start_worker("tester", None, None, values, to_call)
        for descriptor in (calls, to_call, values, to_values):
            os.close(descriptor)
        try:
            yield candidate, tester
        finally:
            for worker in (candidate, tester):
                worker.kill()  # this ends all processes in the worker's PID namespace
                worker.wait()
            for stream in (tester.stdin, tester.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()

    def _start_worker(
        self, role: str, stdin: int | None, stdout: int | None, *inherited: int
    ) -> "subprocess.Popen[bytes]":
        """Start a worker; a stream that is None is a pipe to this process."""
        limits = self.limits
        numbers = (ceil(limits.seconds), limits.memory, limits.scratch, *inherited)
        command = [*self.command(limits), role, *map(str, numbers)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.DEVNULL,
            pass_fds=inherited,
            cwd="/",
            env={},
            start_new_session=True,
        )


class UnusableTest(SeqitError):
    """Raised when the prompt and test of an item cannot be run, whatever the answer."""


def open_sandbox(limits: Limits | None = None) -> Sandbox:
    """Return a sandbox that passed a self-test on this machine; raises SandboxUnavailable."""
    problems = []
    if sys.platform != "linux" or platform.machine() not in ALLOWED:
        where = f"{sys.platform} on {platform.machine()}"
        problems.append(f"the sandbox needs Linux on x86_64 or aarch64, and this is {where}")
    else:
        for launcher, command in LAUNCHERS.items():
            if launcher == "bubblewrap" and not shutil.which("bwrap"):
                problems.append("bubblewrap (bwrap) is not installed")
                continue
            sandbox = Sandbox(launcher, command, limits or Limits())
            try:
                _self_test(sandbox)
            except (SeqitError, OSError) as error:
                problems.append(str(error))
            else:
                return sandbox
    raise SandboxUnavailable(
        f"code from a model is not run here, because no sandbox works: {'; '.join(problems)}. "
        "Install bubblewrap, allow user namespaces (sysctl user.max_user_namespaces), or score on "
        "another machine; a container needs --security-opt seccomp=unconfined or CAP_SYS_ADMIN"
    )


def _self_test(sandbox: Sandbox) -> None:
    """Raise SandboxBroken unless a right program passes and a wrong one fails."""
    test = "def check(f):\n    assert f() == 1"
    for source, passes in (("def f(): return 1", True), ("def f(): return 2", False)):
        result = sandbox.run_tests("def f():\n", test, "f", source)
        if result.passed is not passes:
            raise SandboxBroken(f"a test program does not run in the sandbox ({result.message})")


def _run_job(tester: "subprocess.Popen[bytes]", job: dict[str, str], limit: float) -> Any:
    """Send the job to the tester and return its reply.

    Raises TimeoutError `limit` seconds after the tests started, and SandboxBroken if they did not
    start.
    """
    assert tester.stdin is not None and tester.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # the worker ended: its output says why
        tester.stdin.write(json.dumps(job).encode() + b"\n")
        tester.stdin.flush()
    output = b""
    has_started = False
    deadline = time.monotonic() + _START_TIMEOUT
    source = tester.stdout.fileno()
    while output.count(b"\n") <= has_started:
        ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            if has_started:
                raise TimeoutError
            raise SandboxBroken(f"the sandbox was not set up in {_START_TIMEOUT:g} seconds")
        part = os.read(source, _MAX_RESULT_BYTES)
        output += part
        if len(output) > _MAX_RESULT_BYTES or not (part or has_started):
            raise SandboxBroken(f"the tests did not begin{_exit_code_note(tester)}")
        if not part:  # values can be built so that comparing them takes too long
            return {"passed": False, "reason": "ended", "message": "the tests did not end"}
        if not has_started and output.startswith(b'{"started"'):
            has_started = True
            deadline = time.monotonic() + limit
    return json.loads(output.splitlines()[-1])


def _exit_code_note(worker: "subprocess.Popen[bytes]") -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f" (exit code {worker.wait(1)})"
    return ""


def _was_killed(worker: "subprocess.Popen[bytes]") -> bool:
    """Return whether the kernel killed the worker, as it does at the limit of CPU time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return worker.wait(1) in (_KILLED, -signal.SIGKILL)
    return False


def _clock_limit(limits: Limits) -> str:
    return f"after {limits.seconds * _CLOCK_FACTOR:g} seconds"
