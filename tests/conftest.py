"""Shared fixtures: the installed commands as processes, and the real data."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.paths import BIN, DATA
from support.running import CommandResult


def pytest_configure() -> None:
    """Enable SIGINT in the commands, even if the tests run in a background job that ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slow tests last, and with --dist loadgroup each file in one process."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(config.rootpath))))
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def seqit() -> Callable[..., CommandResult]:
    """Run an installed command as a process: seqit("filter", "a.jsonl", stdin=b"…")."""

    def run(
        *args: object, stdin: bytes = b"", cwd: Path | None = None, **env: str
    ) -> CommandResult:
        done = subprocess.run(
            [BIN / "seqit", *map(str, args)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env={"PATH": f"{BIN}:/usr/bin:/bin", **env},
            timeout=600,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real public data; tests that use it are skipped if it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"there is no real data in {DATA}")
    return DATA
