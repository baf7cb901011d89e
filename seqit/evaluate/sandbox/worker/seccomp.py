"""The filter of system calls: what is not in the table of the machine is refused."""

import ctypes
import errno
import platform
import struct

from seqit.evaluate.sandbox.worker import kernel
from seqit.evaluate.sandbox.worker.syscalls import ALLOWED, OWN

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_…
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in the kernel's seccomp_data
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_X32 = 0x40000000  # the calls of another interface with numbers of their own
_THREAD = 0x00010000  # CLONE_THREAD

Step = tuple[int, int, int, int]
"""One instruction: what to do, steps to pass over where true, where false, operand."""


def install() -> None:
    """Put the filter on this process and all its threads to come, for good."""
    steps = _program(platform.machine())
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    kernel.call("seccomp", 1, 0, ctypes.create_string_buffer(program, len(program)))


def _program(machine: str) -> list[Step]:
    own = OWN[machine]
    refused = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    return [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, _MACHINES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refused,
        # clone3 hides its flags from a filter: as if the kernel were older, clone is used.
        (_EQUAL, 0, 1, own["clone3"]),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
        (_EQUAL, 0, 4, own["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _THREAD),
        (_RETURN, 0, 0, _ALLOW),
        refused,
        *(
            step
            for number in ALLOWED[machine].values()
            for step in ((_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW))
        ),
        refused,
    ]
