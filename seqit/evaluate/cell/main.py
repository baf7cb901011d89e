"""The program of a cell: shut the process in, then play its part.

main(STATE, ROLE, SECONDS, MEMORY, SCRATCH, [SOURCE, TARGET]): the state is `enclosed` where what
starts the cell has done that already, else `open`; the role is `candidate`, or `tester`, which
reaches the other cell by two file descriptors.
"""

import os

from seqit.evaluate.cell import system
from seqit.evaluate.cell.enclose import confine, enclose
from seqit.evaluate.cell.roles import candidate, tester
from seqit.evaluate.cell.wire import Closed, Wire


def main(arguments: list[str]) -> None:
    """Run one cell; what goes wrong before it is shut is told on standard output."""
    enclosed, role = arguments[0] == "enclosed", arguments[1]
    seconds, memory, scratch, *others = map(int, arguments[2:])
    wire = Wire(os.dup(0), os.dup(1))
    try:
        system.die_with_parent()
        if not enclosed:
            enclose(scratch)
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
            tester(wire, Wire(*others))
    except Closed:
        pass
