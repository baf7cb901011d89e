"""Command lines that start a sandbox worker: with bubblewrap, or with namespaces of its own."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqit.evaluate.sandbox.worker.mounts import DEVICES, SCRATCH, mount_plan

_SEQIT = Path(__file__).parents[2]
_WORKER_CODE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from seqit.evaluate.sandbox.worker.main import main; "
    "sys.path.remove(sys.argv[1]); main(sys.argv[2:])"
)


@dataclass(frozen=True)
class Limits:
    """Resource limits of a program.

    seconds: CPU time; wall-clock time is limited to three times as much. memory, scratch: bytes of
    address space and of the scratch directory.
    """

    seconds: float = 3.0
    memory: int = 512 << 20
    scratch: int = 16 << 20


def _python() -> str:
    return os.path.realpath(sys.executable)


def _namespaces(limits: Limits) -> list[str]:
    """Return the command line of a worker that isolates itself."""
    return [_python(), "-I", "-S", "-c", _WORKER_CODE, str(_SEQIT.parent), "open"]


def _bubblewrap(limits: Limits) -> list[str]:
    """Return the command line of a worker that bwrap isolates, with the same mounts."""
    plan = mount_plan(sys.base_prefix)
    command = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user"]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--clearenv"]
    command += ["--die-with-parent", "--new-session"]
    for path in plan.visible:
        command += ["--ro-bind", path, path]
    for path in plan.hidden:
        command += ["--tmpfs", path, "--remount-ro", path]
    for path, target in plan.symlinks:
        command += ["--symlink", target, path]
    for path in DEVICES:
        command += ["--dev-bind", path, path]
    command += ["--ro-bind", _python(), _python()]
    packages = ("", "evaluate/", "evaluate/sandbox/")
    for name in (*(f"{package}__init__.py" for package in packages), "evaluate/sandbox/worker"):
        command += ["--ro-bind", str(_SEQIT / name), f"/seqit/seqit/{name}"]
    command += ["--size", str(limits.scratch), "--perms", "1777", "--tmpfs", SCRATCH]
    command += ["--remount-ro", "/", "--chdir", "/", "--"]
    return [*command, _python(), "-I", "-S", "-B", "-c", _WORKER_CODE, "/seqit", "isolated"]


LAUNCHERS: dict[str, Callable[[Limits], list[str]]] = {
    "bubblewrap": _bubblewrap,
    "namespaces": _namespaces,
}
"""Name → function that returns the command line; the first one that works is used."""
