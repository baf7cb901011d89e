"""System calls for which Python has no function; each raises OSError if it fails."""

import ctypes
import os
import platform

from seqit.evaluate.sandbox.worker.syscalls import SPECIAL

NAMESPACE_FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
"""Kinds of namespaces → their CLONE_NEW… flags for unshare."""

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
"""Mount flags; the numbers are the same for mount and for mount_setattr."""

_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x1000, 0x4000, 1 << 18, 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Make a system call by its name in SPECIAL."""
    number = SPECIAL[platform.machine()][name]
    _raise_if_failed(name, _libc.syscall(number, *arguments))


def unshare(kinds: tuple[str, ...]) -> None:
    """Move this process into new namespaces of these kinds."""
    flags = sum(NAMESPACE_FLAGS[kind] for kind in kinds)
    _raise_if_failed("unshare", _libc.unshare(flags))


def make_mounts_private() -> None:
    """Stop later mounts from propagating to the host."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def mount_tmpfs(path: str, flags: int, options: str) -> None:
    """Mount a file system in memory."""
    _mount("tmpfs", path, "tmpfs", flags, options)


def bind_mount(source: str, target: str, flags: int) -> None:
    """Mount a directory or file, with the mounts below it, at another place."""
    _mount(source, target, None, _MS_BIND | _MS_REC)
    set_mount_flags(target, flags, _AT_RECURSIVE)


def set_mount_flags(path: str, flags: int, at: int = 0) -> None:
    """Add flags such as READ_ONLY to a mount."""
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    call("mount_setattr", _AT_FDCWD, path.encode(), at, attributes, size)


def pivot_root(path: str) -> None:
    """Make a mount point the root, and detach the old root."""
    os.chdir(path)
    call("pivot_root", b".", b".")
    _raise_if_failed("umount2", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; a change of user resets this."""
    _raise_if_failed("prctl", _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0))


def drop_capabilities() -> None:
    """Drop all capabilities for good, and make the process undumpable, so not traceable."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())
    _raise_if_failed("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _raise_if_failed("prctl", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = (text.encode() if text else None for text in (source, target, kind))
    result = _libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _raise_if_failed(f"mount {target}", result)


def _raise_if_failed(what: str, returned: int) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
