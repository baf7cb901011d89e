"""Commands that tests run as processes: the result of one, and whether one is blocked."""

import json
from pathlib import Path
from typing import Any, NamedTuple


class CommandResult(NamedTuple):
    """Exit code, standard output and standard error of a command."""

    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def is_blocked(process: int) -> bool:
    """Return whether a process waits for something, as one that writes to a full pipe does."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "S"
