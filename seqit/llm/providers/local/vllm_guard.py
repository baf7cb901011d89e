"""A process that kills vLLM's processes if their parent is killed.

vLLM's engine survives a parent that is killed (SIGKILL, out of memory) and keeps the GPU's memory,
which the next run needs.
"""

import contextlib
import os
import subprocess
import sys
import time

POLL_INTERVAL = 1.0
"""Seconds between two checks of the parent."""


def start_guard() -> subprocess.Popen[bytes]:
    """Start a guard for this process's children; terminate it once they have ended."""
    guard = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # so that Ctrl-C does not end it
    )
    assert guard.stdout
    with guard.stdout as ready:
        ready.readline()
    return guard


def _guard_loop() -> None:
    import psutil  # a dependency of vLLM

    me = psutil.Process()
    parent = me.parent()
    children: set[psutil.Process] = set()
    while parent and os.getppid() == parent.pid:
        with contextlib.suppress(psutil.Error):
            children = set(parent.children(recursive=True)) - {me}
        if not sys.stdout.closed:
            sys.stdout.write("started\n")
            sys.stdout.close()
        time.sleep(POLL_INTERVAL)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()  # psutil checks that the pid was not reused


if __name__ == "__main__":
    _guard_loop()
