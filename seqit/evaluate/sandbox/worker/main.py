"""The program of a cell: shut the process in, then play its part.

main(STATE, ROLE, SECONDS, MEMORY, SCRATCH, [SOURCE, TARGET]): the state is `enclosed` where what
starts the cell has done that already, else `open`; the role is `candidate`, or `tester`, which
reaches the other cell by two file descriptors.
"""

import os

from seqit.evaluate.sandbox.worker import kernel
from seqit.evaluate.sandbox.worker.namespaces import confine, enter_namespaces
from seqit.evaluate.sandbox.worker.pipe import MessagePipe, PipeClosed
from seqit.evaluate.sandbox.worker.roles import candidate, tester


def main(arguments: list[str]) -> None:
    """Run one cell; what goes wrong before it is shut is told on standard output."""
    enclosed, role = arguments[0] == "enclosed", arguments[1]
    seconds, memory, scratch, *others = map(int, arguments[2:])
    wire = MessagePipe(os.dup(0), os.dup(1))
    try:
        kernel.die_with_parent()
        if not enclosed:
            enter_namespaces(scratch)
        for descriptor in range(3):  # what is printed goes nowhere
            os.dup2(os.open("/dev/null", os.O_RDWR), descriptor)
        confine(seconds, memory, scratch)
    except (OSError, ValueError, KeyError) as error:
        wire.send({"broken": str(error)})
        return
    try:
        if role == "candidate":
            candidate(wire)
        else:
            tester(wire, MessagePipe(*others))
    except PipeClosed:
        pass
