"""The result of a command that a test ran as a process."""

import json
from typing import Any, NamedTuple


class CommandResult(NamedTuple):
    """Exit code, standard output and standard error of a command."""

    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]
