"""Entry point of a sandbox worker: isolate this process, then run its role.

main(STATE, ROLE, SECONDS, MEMORY, SCRATCH, [SOURCE, TARGET]): STATE is `isolated` if the launcher
has isolated the process already, else `open`. ROLE is `candidate`, or `tester`, which is connected
to the candidate by the file descriptors SOURCE and TARGET.
"""

import os

from seqit.evaluate.sandbox.worker import kernel
from seqit.evaluate.sandbox.worker.namespaces import confine, enter_namespaces
from seqit.evaluate.sandbox.worker.pipe import MessagePipe, PipeClosed
from seqit.evaluate.sandbox.worker.roles import run_candidate, run_tester


def main(arguments: list[str]) -> None:
    """Run one worker; errors before it is isolated are reported on standard output."""
    is_isolated, role = arguments[0] == "isolated", arguments[1]
    seconds, memory, scratch, *descriptors = map(int, arguments[2:])
    pipe = MessagePipe(os.dup(0), os.dup(1))
    try:
        kernel.die_with_parent()
        if not is_isolated:
            enter_namespaces(scratch)
        for descriptor in range(3):  # discard what the program prints
            os.dup2(os.open("/dev/null", os.O_RDWR), descriptor)
        confine(seconds, memory, scratch)
    except (OSError, ValueError, KeyError) as error:
        pipe.send({"broken": str(error)})
        return
    try:
        if role == "candidate":
            run_candidate(pipe)
        else:
            run_tester(pipe, MessagePipe(*descriptors))
    except PipeClosed:
        pass
