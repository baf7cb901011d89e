"""The calls to the kernel that Python has no function for; each raises OSError."""

import ctypes
import os
import platform

from seqit.evaluate.sandbox.worker.syscalls import OWN

NEW = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
"""Kinds of namespaces, and their flags for unshare."""

READ_ONLY, NO_SUID, NO_DEVICES, NO_PROGRAMS = 1, 2, 4, 8
"""Of mounts; the same numbers for mount and for mount_setattr."""

_BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x1000, 0x4000, 1 << 18, 2
_AT_CWD, _AT_RECURSIVE = -100, 0x8000
_DIES_WITH_PARENT, _NOT_DUMPABLE, _NO_NEW_RIGHTS = 1, 4, 38
_CAPABILITIES_V3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Make a system call by its name in OWN."""
    number = OWN[platform.machine()][name]
    _checked(name, _libc.syscall(number, *arguments))


def unshare(kinds: tuple[str, ...]) -> None:
    """Leave the shared namespaces of these kinds for new ones."""
    flags = sum(NEW[kind] for kind in kinds)
    _checked("unshare", _libc.unshare(flags))


def make_mounts_private() -> None:
    """Keep what is mounted from here on from being seen outside."""
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)


def mount_memory(path: str, flags: int, options: str) -> None:
    """Mount a file system in memory."""
    _mount("tmpfs", path, "tmpfs", flags, options)


def show(source: str, target: str, flags: int) -> None:
    """Show a directory or file, and what is mounted below it, at another place."""
    _mount(source, target, None, _BIND | _RECURSIVE)
    restrict(target, flags, _AT_RECURSIVE)


def restrict(path: str, flags: int, at: int = 0) -> None:
    """Set READ_ONLY and others on a mount."""
    wanted = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    call("mount_setattr", _AT_CWD, path.encode(), at, wanted, ctypes.sizeof(wanted))


def change_root(path: str) -> None:
    """Make a mounted directory the root; what was there before is gone."""
    os.chdir(path)
    call("pivot_root", b".", b".")
    _checked("umount2", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def die_with_parent() -> None:
    """Be killed when the parent ends; a change of the user undoes it."""
    _checked("prctl", _libc.prctl(_DIES_WITH_PARENT, 9, 0, 0, 0))


def give_up_rights() -> None:
    """Have no capability, and never get one again, nor be looked into by others."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())
    _checked("prctl", _libc.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0))
    _checked("prctl", _libc.prctl(_NOT_DUMPABLE, 0, 0, 0, 0))


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = (text.encode() if text else None for text in (source, target, kind))
    found = _libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _checked(f"mount {target}", found)


def _checked(what: str, returned: int) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
