"""What the tests share: the installed commands as processes, and the real data."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
BIN = Path(sys.executable).parent


def pytest_configure() -> None:
    """Let SIGINT reach the commands, also where the tests run in a background that ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


class Ran(NamedTuple):
    """What a command did: exit code, standard output and standard error."""

    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def seqit() -> Callable[..., Ran]:
    """Run an installed command as a process: seqit("filter", "a.jsonl", stdin=b"…")."""

    def run(*args: object, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Ran:
        done = subprocess.run(
            [BIN / "seqit", *map(str, args)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env={"PATH": f"{BIN}:/usr/bin:/bin", **env},
            timeout=600,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real public data; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not at {DATA}")
    return DATA
