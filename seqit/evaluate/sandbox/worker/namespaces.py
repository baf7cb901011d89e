"""Shut this process in, first by namespaces and then by limits, so that nothing gets out."""

import contextlib
import os
import resource
import sys
from pathlib import Path

from seqit.evaluate.sandbox.worker import kernel, seccomp
from seqit.evaluate.sandbox.worker.mounts import DEVICES, SCRATCH, mount_plan

_KINDS = ("mount", "pid", "net", "ipc", "uts", "cgroup")
_ROOT = "/proc"  # a directory that is always there; in the cell it becomes the root
_NOBODY = 65534
_FILES, _THREADS = 64, 32


def enter_namespaces(scratch: int) -> None:
    """Go on as the first process of new namespaces, with a file system of its own.

    `scratch` bytes can be written, below SCRATCH, and to nowhere else. The process that was there
    before waits outside, holds nothing open, and ends with the exit code of this one, or 128 and
    the number of the signal that ended it.

    Raises OSError where the machine does not allow it.
    """
    is_root = _leave_namespaces()
    _mount_root(scratch)
    if child := os.fork():
        os.closerange(0, 1024)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    os.setsid()
    if is_root:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        # The kernel counts threads by user and user namespace: those of other cells are not ours.
        with contextlib.suppress(OSError):
            kernel.unshare(("user",))
    kernel.die_with_parent()


def confine(seconds: int, memory: int, scratch: int) -> None:
    """Give up all rights; set the limits of CPU seconds and of bytes; refuse system calls."""
    os.chdir(SCRATCH)
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: scratch,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_NPROC: _THREADS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    kernel.give_up_rights()
    seccomp.install()


def _leave_namespaces() -> bool:
    """Go to new namespaces; tell whether as root, who needs no user namespace for that."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        with contextlib.suppress(PermissionError):  # in a container root may lack the right
            kernel.unshare(_KINDS)
            return True
    kernel.unshare((*_KINDS, "user"))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return False


def _mount_root(scratch: int) -> None:
    """Build the cell's file system and change into it."""
    plan = mount_plan(sys.base_prefix)
    locked = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEVICES
    devices = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_PROGRAMS
    kernel.make_mounts_private()
    kernel.mount_memory(_ROOT, kernel.NO_SUID, "size=1m,mode=755")
    for path in plan.shown:
        _show(path, locked)
    for path in plan.hidden:
        kernel.mount_memory(_ROOT + path, locked, "size=4k,mode=555")
    for path, points_to in plan.links:
        Path(_ROOT + path).parent.mkdir(parents=True, exist_ok=True)
        Path(_ROOT + path).symlink_to(points_to)
    for path in DEVICES:
        _show(path, devices)
    Path(_ROOT + SCRATCH).mkdir()
    options = f"size={scratch},nr_inodes=1024,mode=1777"
    kernel.mount_memory(
        _ROOT + SCRATCH, kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS, options
    )
    kernel.change_root(_ROOT)
    kernel.restrict("/", locked)


def _show(path: str, flags: int) -> None:
    target = Path(_ROOT + path)
    if Path(path).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.show(path, str(target), flags)
