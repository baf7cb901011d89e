"""The seccomp filter: system calls that are not in the machine's table are refused."""

import ctypes
import errno
import platform
import struct

from seqit.evaluate.sandbox.worker import kernel
from seqit.evaluate.sandbox.worker.syscalls import ALLOWED, SPECIAL

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_…
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in the kernel's seccomp_data
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_X32 = 0x40000000  # marks the system calls of the x32 ABI, which have other numbers
_THREAD = 0x00010000  # CLONE_THREAD

Instruction = tuple[int, int, int, int]
"""One BPF instruction: opcode, jump if true, jump if false, operand."""


def install() -> None:
    """Install the filter for this process and its future threads, irrevocably."""
    instructions = _build_filter(platform.machine())
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    kernel.call("seccomp", 1, 0, ctypes.create_string_buffer(program, len(program)))


def _build_filter(machine: str) -> list[Instruction]:
    special = SPECIAL[machine]
    refused = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    return [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refused,
        # A filter cannot see the flags of clone3: ENOSYS makes the C library fall back to clone.
        (_EQUAL, 0, 1, special["clone3"]),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
        (_EQUAL, 0, 4, special["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _THREAD),
        (_RETURN, 0, 0, _ALLOW),
        refused,
        *(
            instruction
            for number in ALLOWED[machine].values()
            for instruction in ((_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW))
        ),
        refused,
    ]
