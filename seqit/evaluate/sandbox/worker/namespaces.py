"""Isolate this process: new namespaces with a minimal root, then limits, capabilities, seccomp."""

import contextlib
import os
import resource
import sys
from pathlib import Path

from seqit.evaluate.sandbox.worker import kernel, seccomp
from seqit.evaluate.sandbox.worker.mounts import DEVICES, SCRATCH, mount_plan

_NAMESPACES = ("mount", "pid", "net", "ipc", "uts", "cgroup")
_ROOT = "/proc"  # a directory that always exists; it becomes the worker's root
_NOBODY = 65534
_MAX_OPEN_FILES, _MAX_THREADS = 64, 32


def enter_namespaces(scratch: int) -> None:
    """Continue as the first process of new namespaces, with a file system of its own.

    Only `scratch` bytes below SCRATCH are writable. The original process waits outside with no
    open files, and ends with the exit code of this one, or 128 plus the number of the signal that
    ended it. Raises OSError if the machine does not allow it.
    """
    is_root = _unshare_namespaces()
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
        # The kernel counts threads per user and user namespace: do not share it with other workers.
        with contextlib.suppress(OSError):
            kernel.unshare(("user",))
    kernel.die_with_parent()


def confine(seconds: int, memory: int, scratch: int) -> None:
    """Set the CPU and memory limits, drop all capabilities, and install the seccomp filter.

    seconds: of CPU. memory, scratch: bytes of address space, and of one file. The working
    directory becomes SCRATCH.
    """
    os.chdir(SCRATCH)
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: scratch,
        resource.RLIMIT_NOFILE: _MAX_OPEN_FILES,
        resource.RLIMIT_NPROC: _MAX_THREADS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for limit, maximum in limits.items():
        resource.setrlimit(limit, (maximum, maximum))
    kernel.drop_capabilities()
    seccomp.install()


def _unshare_namespaces() -> bool:
    """Enter new namespaces; return True if done as root, which needs no user namespace."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        with contextlib.suppress(PermissionError):  # root of a container may lack CAP_SYS_ADMIN
            kernel.unshare(_NAMESPACES)
            return True
    kernel.unshare((*_NAMESPACES, "user"))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return False


def _mount_root(scratch: int) -> None:
    """Mount the worker's file system and make it the root."""
    plan = mount_plan(sys.base_prefix)
    locked = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEV
    devices = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_EXEC
    kernel.make_mounts_private()
    kernel.mount_tmpfs(_ROOT, kernel.NO_SUID, "size=1m,mode=755")
    for path in plan.visible:
        _bind_mount(path, locked)
    for path in plan.hidden:
        kernel.mount_tmpfs(_ROOT + path, locked, "size=4k,mode=555")
    for path, target in plan.symlinks:
        Path(_ROOT + path).parent.mkdir(parents=True, exist_ok=True)
        Path(_ROOT + path).symlink_to(target)
    for path in DEVICES:
        _bind_mount(path, devices)
    Path(_ROOT + SCRATCH).mkdir()
    options = f"size={scratch},nr_inodes=1024,mode=1777"
    kernel.mount_tmpfs(_ROOT + SCRATCH, kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC, options)
    kernel.pivot_root(_ROOT)
    kernel.set_mount_flags("/", locked)


def _bind_mount(path: str, flags: int) -> None:
    """Mount a path of the host at the same place below the new root."""
    target = Path(_ROOT + path)
    if Path(path).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.bind_mount(path, str(target), flags)
