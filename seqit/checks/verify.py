"""Verify answers and whole records against their checks."""

from collections.abc import Sequence

from seqit.checks.kinds import CHECK_KINDS
from seqit.records.record import Check, Record


def verify(check: Check, answer: str, earlier: Sequence[str]) -> str | None:
    """Return None if the answer passes, else a sentence that says what is wrong.

    `earlier` contains the answers to the earlier steps, in order. A check of an unknown kind or
    with invalid arguments never passes.
    """
    name = check.get("kind")
    kind = CHECK_KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return f"there is no check {name!r}; known are {', '.join(sorted(CHECK_KINDS))}"
    if unknown := sorted(set(check) - set(kind.arguments) - {"kind"}):
        return f"the check {name!r} takes no argument {', '.join(unknown)}"
    for argument, is_valid in kind.arguments.items():
        if argument not in check:
            return f"the check {name!r} lacks its argument {argument!r}"
        if not is_valid(check[argument]):
            return f"the check {name!r} cannot use {check[argument]!r} as its {argument!r}"
    return kind.program(check, answer, earlier)


def record_problems(record: Record) -> list[tuple[int, str]]:
    """Return (index of the step, what is wrong) for every step that does not verify.

    Each check is verified on its step's output. The outputs must also occur in the record's output
    in the order of the steps and without overlap.
    """
    problems: list[tuple[int, str]] = []
    earlier: list[str] = []
    position = 0
    for index, step in enumerate(record.get("steps", ())):
        output, check = step.get("output"), step.get("check")
        if output is None:
            if check is not None:
                problems.append((index, "the step has a check, but no output to verify"))
            earlier.append("")
            continue
        found = record["output"].find(output, position)
        if found < 0:
            problems.append((index, "the answer does not contain this step's output in its turn"))
        else:
            position = found + len(output)
        if check is not None and (problem := verify(check, output, earlier)):
            problems.append((index, problem))
        earlier.append(output)
    return problems
