"""A process that ends vLLM's processes when the one that started them was killed.

vLLM's engine outlives a parent that had no time to end it (SIGKILL, out of memory) and holds on to
the GPU's memory, so that the run that takes over would find none.
"""

import contextlib
import os
import subprocess
import sys
import time

PERIOD = 1.0
"""Seconds between two looks."""


def start_guard() -> subprocess.Popen[bytes]:
    """Begin to watch over this process's children; terminate the guard when they have ended."""
    guard = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the others
    )
    assert guard.stdout
    with guard.stdout as begun:
        begun.readline()
    return guard


def _watch() -> None:
    import psutil  # vLLM brings it

    me = psutil.Process()
    parent = me.parent()
    children: set[psutil.Process] = set()
    while parent and os.getppid() == parent.pid:
        with contextlib.suppress(psutil.Error):
            children = set(parent.children(recursive=True)) - {me}
        if not sys.stdout.closed:
            sys.stdout.write("begun\n")
            sys.stdout.close()
        time.sleep(PERIOD)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()  # psutil makes sure that it is still the same process


if __name__ == "__main__":
    _watch()
