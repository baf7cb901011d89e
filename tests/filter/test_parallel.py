"""seqit filter in several processes: the same bytes, rejects and statistics as in one."""

import contextlib
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.paths import BIN

from seqit.engine import processes
from seqit.engine.processes import WorkerPool
from seqit.filter import apply, default_rules, parse_rule
from seqit.filter.parallel import read_passing
from seqit.records.readers.rows import read_records
from seqit.records.run_stats import RunStats, StrictError
from seqit.records.validation import schema
from seqit.records.writers.sink import JsonLinesSink, encode, write_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

ALL_RULES = (
    *("--rule", "length:field=output,max_words=400", "--rule", "repetition", "--rule", "refusal"),
    *("--rule", "keep", "--rule", "incomplete-chain"),
)


def record(number: int, output: str = "", operation: str = "seed", **more: object) -> dict:
    words = [f"word{number * 7919 % (n + 11)}x{n}" for n in range(60)]
    fields = {
        "id": f"id{number}",
        "instruction": f"Write sentence {number} about the sea.",
        "input": "",
        "output": output or f"The sea of {number} holds {' '.join(words)}.",
    }
    lineage = {"root": f"id{number}", "iteration": 0, "operation": operation}
    return fields | more | {"lineage": lineage}


def rows_with_every_outcome(number: int) -> list[dict | bytes]:
    """Rows for every outcome that a row can have."""
    new = record(number)
    check = {"kind": "word_count", "count": 3}
    return [
        b'{"instruction": "cut off',
        b'{"instruction": 3, "output": "a number"}',
        b'{"instruction": "twice", "instruction": "the key", "output": "x"}',
        b"\xff\xfe not UTF-8",
        b'"a text"',
        b'{"prompt": "another format", "completion": "x"}',
        b"",
        {"instruction": f"Raw {number}", "output": f"Adopted, with {number}.", "topic": [number]},
        {"instruction": f"Raw {number}", "output": "A duplicate that was adopted."},
        b'{"instruction":"deep %d","output":"x","a":%s}' % (number, b"[" * 250 + b"]" * 250),
        json.dumps(record(number, "Spaced otherwise, and kept so."), indent=None).encode(),
        record(number - 3),  # a duplicate of one in an earlier batch
        new | {"id": "empty", "output": "\u200b"},
        new | {"id": "placeholder", "output": "<noinput>"},
        new | {"id": "equal", "output": new["instruction"]},
        new | {"id": "copied", "output": f"### Response: {new['instruction']}"},
        new | {"id": "loop", "output": "and again " * 300},
        new | {"id": "non-printing", "output": "a \x00 b"},
        new | {"id": "refusal", "output": "I'm sorry, but I can't help with that."},
        new | {"id": "long", "output": " ".join(f"w{n}" for n in range(500))},
        new | {"id": "repetition", "output": "One line that comes again.\n" * 12 + "The end."},
        record(number + 500_000, operation="keep"),
        record(number + 600_000, operation="prefix"),
        record(number + 700_000, steps=[{"instruction": "a", "output": "b", "check": check}]),
    ]


def lines(rows: list[dict | bytes]) -> bytes:
    encoded = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return b"".join(row + b"\n" for row in encoded)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> Path:
    """About 5 MB, so that workers start, with rows of every outcome throughout."""
    rows: list[dict | bytes] = []
    for number in range(6000):
        rows.append(record(number))
        if number % 100 == 50 or number < 3:
            rows.extend(rows_with_every_outcome(number))
    random.Random(7).shuffle(rows)
    rows.insert(4000, b'"' + b"x" * (9 << 20) + b'"')
    path = tmp_path_factory.mktemp("parallel") / "dirty.jsonl"
    path.write_bytes(lines(rows))
    return path


@pytest.fixture(scope="module")
def clean() -> bytes:
    return lines([record(number) for number in range(5000)])


def test_workers_change_nothing(dirty, tmp_path, seqit):
    results = {}
    for workers in (1, 2, 3):
        rejects, manifest = tmp_path / f"rejects{workers}", tmp_path / f"manifest{workers}"
        options = ("--workers", workers, "--rejects", rejects, "--manifest", manifest)
        ran = seqit("filter", *ALL_RULES, *options, dirty)
        err = ran.err.replace(str(rejects), "REJECTS")
        results[workers] = (ran.code, ran.out, rejects.read_bytes(), manifest.read_bytes(), err)
    assert results[1][0] == 3
    manifest = json.loads(results[1][3])
    assert all(rule["removed"] for rule in manifest["counts"]["rules"].values()), manifest["counts"]
    reasons = {reason for stage in manifest["reasons"].values() for reason in stage}
    assert {"not-json", "too-long", "invalid", "duplicate"} <= reasons
    assert results[2] == results[1]
    assert results[3] == results[1]


def test_without_rejects_the_output_and_the_statistics_are_the_same(dirty, tmp_path, seqit):
    one, two = (seqit("filter", "--workers", n, dirty) for n in (1, 2))
    assert (two.code, two.out, two.err) == (one.code, one.out, one.err)


def test_a_row_that_cannot_be_normalized_fails_in_input_order(clean, tmp_path, seqit):
    deep = b'{"instruction":"deep","output":"too deep once it is adopted","a":%s}'
    path = tmp_path / "rows"
    path.write_bytes(clean + deep % (b"[" * 253 + b"]" * 253) + b"\n" + clean)
    one, two = (seqit("filter", "--workers", n, path) for n in (1, 2))
    assert two == one
    assert (one.code, "nested deeper than" in one.err) == (3, True)


@pytest.mark.parametrize("form", ["stdin", "gzip", "cut gzip", "array", "several", "parquet"])
def test_workers_change_nothing_for_any_source(form, dirty, tmp_path, seqit):
    content = dirty.read_bytes()
    clean = [record(number % 4000) for number in range(8000)]
    sources: list[Path] = [tmp_path / "source"]
    stdin = b""
    if form == "stdin":
        sources, stdin = [], content
    elif form == "gzip":
        sources[0].write_bytes(gzip.compress(content, 1))
    elif form == "cut gzip":
        sources[0].write_bytes(gzip.compress(content, 1)[:-100_000])
    elif form == "array":
        sources[0].write_bytes(json.dumps([*clean, {"instruction": 5}], indent=1).encode())
    elif form == "several":
        sources[0].write_bytes(lines(clean))
        sources += [dirty, sources[0]]
    else:
        sources = [tmp_path / "source.parquet", dirty]
        (tmp_path / "clean").write_bytes(lines(clean))
        assert seqit("filter", "-q", tmp_path / "clean", "-o", sources[0]).code == 0
    results = []
    for workers in (1, 2):
        rejects, manifest = tmp_path / "rejects", tmp_path / "manifest"
        options = ("--workers", workers, "--rejects", rejects, "--manifest", manifest)
        ran = seqit("filter", *options, *sources, stdin=stdin)
        results.append((*ran, rejects.read_bytes(), manifest.read_bytes()))
    assert results[1] == results[0]
    assert results[0][0] == 3


def test_strict_stops_at_the_same_row(tmp_path, seqit):
    rows = [record(number % 5000) for number in range(6000)]
    path = tmp_path / "rows"
    path.write_bytes(lines([*rows, b"{oops", *rows]))
    results = []
    for workers in (1, 2):
        rejects, manifest = tmp_path / "rejects", tmp_path / "manifest"
        options = ("--workers", workers, "--rejects", rejects, "--manifest", manifest)
        ran = seqit("filter", "--strict", *options, path)
        results.append((*ran, rejects.read_bytes(), manifest.read_bytes()))
    assert results[1] == results[0]
    assert results[0][0] == 1
    assert f"{path}:6001: " in results[0][2]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
TEXTS = st.sampled_from(["", "Say a.", "say  A.", "x", "\u200b", "I\u0000", "Name a colour of it."])
RECORDS = st.fixed_dictionaries(
    {"instruction": TEXTS, "output": TEXTS | VALUES},
    optional={"input": TEXTS, "id": st.text(max_size=3), "system": VALUES, "other": VALUES},
)
ROWS = st.one_of(RECORDS.map(json.dumps).map(str.encode), VALUES.map(json.dumps).map(str.encode))
LINES = st.lists(ROWS | st.binary(max_size=12), max_size=25).map(b"\n".join)


def rules():
    return [*default_rules(), parse_rule("length:max_words=3")]


def in_one_process(names, stats):
    return apply(read_records(names, stats), rules(), stats)


def in_three_processes(names, stats):
    with WorkerPool(3) as pool:
        yield from read_passing(names, stats, lambda: None, rules=rules(), workers=pool)


def run_filter(filter_rows, path, strict):
    """Run to the end or to the first failure; return everything that a run outputs."""
    rejects = io.BytesIO()
    output = io.BytesIO()
    stats = RunStats("filter", lambda each: rejects.write(encode(each) + b"\n"), strict)
    failed = ""
    try:
        rows = filter_rows([str(path)], stats)
        write_rows(rows, JsonLinesSink(output), stats, schema("record"))
        stats.close()
    except StrictError as error:
        failed = str(error)
    return output.getvalue(), rejects.getvalue(), failed, stats.manifest()


@pytest.mark.parametrize("strict", [False, True])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=LINES)
def test_workers_change_nothing_for_any_bytes(strict, content, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "MIN_PARALLEL_BYTES", 40)
    monkeypatch.setattr(processes, "BATCH_BYTES", 30)
    path = tmp_path / "rows"
    path.write_bytes(content)
    assert run_filter(in_three_processes, path, strict) == run_filter(in_one_process, path, strict)


def processes_in_group(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def start(*args: object, stdout: int = subprocess.DEVNULL) -> subprocess.Popen:
    return subprocess.Popen(
        [BIN / "seqit", "filter", "-q", *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def started_workers(process: subprocess.Popen, content: bytes) -> list[int]:
    """Write to the process until its workers run; returns their process ids."""
    children: list[int] = []
    deadline = time.monotonic() + 30
    process.stdin.write(content)
    process.stdin.flush()
    while len(children) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
        children = [each for each in processes_in_group(process.pid) if each != process.pid]
    assert len(children) == 3
    return children


@needs_proc
def test_a_killed_worker_is_reported(clean, tmp_path):
    process = start("--workers", 2, "-o", tmp_path / "out")
    children = started_workers(process, clean)
    os.kill(children[0], signal.SIGKILL)
    _, err = process.communicate(clean, timeout=30)
    assert process.returncode == 1
    assert err.decode().startswith("seqit filter: a worker process was killed by SIGKILL, perhaps")
    assert len(err.splitlines()) == 1
    assert processes_in_group(process.pid) == []
    assert list(tmp_path.iterdir()) == []


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_all_processes(number, clean, tmp_path):
    process = start("--workers", 2)
    started_workers(process, clean)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(30) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -9)
    deadline = time.monotonic() + 10
    while processes_in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_in_group(process.pid) == []
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


@needs_proc
def test_a_closed_output_ends_all_processes(dirty):
    process = start("--workers", 2, dirty, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 141
    assert processes_in_group(process.pid) == []
    process.stdin.close()
    process.stderr.close()


@needs_proc
def test_rows_are_written_while_input_still_arrives(clean, tmp_path):
    target = tmp_path / "out"
    with target.open("wb") as file:
        process = start("--workers", 2, stdout=file)
    started_workers(process, clean)
    process.stdin.write(lines([record(77_777)]))
    process.stdin.flush()  # standard input stays open: its end would flush everything
    deadline = time.monotonic() + 20
    while not target.read_bytes().endswith(lines([record(77_777)])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
