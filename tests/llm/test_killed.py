"""SIGKILL at any moment, then the same command again: nothing is lost or paid for twice."""

import json
import os
import random
import sqlite3
import subprocess
import time

import pytest
from support.answering_server import AnsweringServer
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
    with AnsweringServer(*options) as running:
        yield running


class Run:
    """One command with its files, which can be run repeatedly."""

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

    def finish(self):
        """Run the command to its end; returns how many completions the server sent."""
        before = self.served()
        assert subprocess.run(self._command, env=self._env).returncode in (0, 3)
        return self.served() - before

    def served(self):
        return self._server.stats().get("completions", 0)

    def cached(self):
        """Return how many completions are in the cache."""
        if not self.cache.exists():
            return 0
        with sqlite3.connect(self.cache) as database:
            try:
                [(count,)] = database.execute("SELECT count(*) FROM completions")
            except sqlite3.OperationalError:  # killed before the tables were created
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
def reference(tmp_path_factory, server, rows):
    """The result of a run without a kill, its number of completions, and its duration."""
    run = Run(server, tmp_path_factory.mktemp("undisturbed"), rows)
    start = time.monotonic()
    completions = run.finish()
    return run.result(), completions, time.monotonic() - start


def test_the_rows_are_what_they_should_be(reference):
    (output, rejects), completions, _ = reference
    written = [json.loads(line) for line in output.splitlines()]
    assert len(written) + len(rejects.splitlines()) == len(ROWS)
    assert {row["lineage"]["operation"] for row in written} >= {"prefix", "suffix", "keep"}
    assert completions > 3 * len(written)


@pytest.mark.parametrize("number", range(KILLS))
def test_after_a_kill_the_same_command_continues(number, reference, server, rows, tmp_path):
    expected, completions, seconds = reference
    run = Run(server, tmp_path, rows)
    before = run.served()
    run.kill_after(random.Random(number).uniform(0.1, seconds))
    cached = run.cached()
    finished = run.output.exists()  # killed too late: the next run must request nothing
    more = run.finish()
    assert run.result() == expected
    # Nothing received is requested again, and at most what was in flight is lost.
    unusable = 3 * len(expected[1].splitlines()) if finished else 0
    assert completions - cached - unusable <= more <= completions - cached + unusable
    assert run.served() - before <= completions + IN_FLIGHT + unusable
