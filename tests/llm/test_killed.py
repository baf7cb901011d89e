"""Killed is not lost: SIGKILL at any moment, the same command again, and nothing is paid twice."""

import json
import os
import random
import sqlite3
import subprocess
import time

import pytest
from support.answering_server import Answering
from support.paths import BIN

pytestmark = pytest.mark.slow

IN_FLIGHT = 16
KILLS = 100
ROWS = [
    {"instruction": f"Name {n % 50} animals that live in the {place}.", "output": "A fish."}
    for n, place in enumerate(["sea", "forest", "desert"] * 20)
]


@pytest.fixture(scope="module")
def server():
    options = (
        "--latency",
        "0.01",
        "--jitter",
        "0.02",
        "--answers",
        "support.teacher_answers:answer",
    )
    with Answering(*options) as running:
        yield running


class Run:
    """One command with its files, run as often as it takes."""

    def __init__(self, server, folder, rows):
        self.cache, self.output = folder / "cache.sqlite", folder / "out.jsonl"
        self.rejects = folder / "rejects.jsonl"
        self._server = server
        self._command = [
            BIN / "seqit-augment", "--teacher", "openai:test", "--iterations", "2", rows, "-q",
            "--max-concurrency", str(IN_FLIGHT), "--cache", self.cache,
            "-o", self.output, "--rejects", self.rejects,
        ]  # fmt: skip
        self._env = os.environ | {"OPENAI_BASE_URL": server.url}

    def kill_after(self, seconds):
        with subprocess.Popen(self._command, env=self._env, stderr=subprocess.DEVNULL) as process:
            time.sleep(seconds)
            process.kill()

    def to_the_end(self):
        """Return how many completions the server gave."""
        before = self.served()
        assert subprocess.run(self._command, env=self._env).returncode in (0, 3)
        return self.served() - before

    def served(self):
        return self._server.stats().get("completions", 0)

    def kept(self):
        """Return how many completions are in the cache."""
        if not self.cache.exists():
            return 0
        with sqlite3.connect(self.cache) as database:
            try:
                [(count,)] = database.execute("SELECT count(*) FROM completions")
            except sqlite3.OperationalError:  # killed before the tables were made
                count = 0
        database.close()
        return count

    def result(self):
        return self.output.read_bytes(), self.rejects.read_bytes()


@pytest.fixture(scope="module")
def rows(tmp_path_factory, seqit):
    path = tmp_path_factory.mktemp("killed") / "rows.jsonl"
    content = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    assert seqit("import", "--format", "alpaca", "-o", path, stdin=content).code == 0
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, server, rows):
    """What the run gives that nobody disturbs, what it asks for, and how long it takes."""
    run = Run(server, tmp_path_factory.mktemp("undisturbed"), rows)
    start = time.monotonic()
    asked = run.to_the_end()
    return run.result(), asked, time.monotonic() - start


def test_the_rows_are_what_they_should_be(undisturbed):
    (output, rejects), asked, _ = undisturbed
    written = [json.loads(line) for line in output.splitlines()]
    assert len(written) + len(rejects.splitlines()) == len(ROWS)
    assert {row["lineage"]["operation"] for row in written} >= {"prefix", "suffix", "keep"}
    assert asked > 3 * len(written)


@pytest.mark.parametrize("number", range(KILLS))
def test_after_a_kill_the_same_command_goes_on(number, undisturbed, server, rows, tmp_path):
    expected, asked, seconds = undisturbed
    run = Run(server, tmp_path, rows)
    before = run.served()
    run.kill_after(random.Random(number).uniform(0.1, seconds))
    kept = run.kept()
    finished = run.output.exists()  # the kill came too late: what follows must ask nothing
    again = run.to_the_end()
    assert run.result() == expected
    # Nothing that was received is asked for again, and lost is at most what was in flight.
    useless = 3 * len(expected[1].splitlines()) if finished else 0
    assert asked - kept - useless <= again <= asked - kept + useless
    assert run.served() - before <= asked + IN_FLIGHT + useless
