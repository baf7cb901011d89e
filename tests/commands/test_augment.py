"""`seqit augment` with a model, from the command line: limits, cache, signals, pipes, progress."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from functools import partial

import pytest
from support.answering_server import AnsweringServer
from support.paths import BIN

ANSWERS = ("--answers", "support.teacher_answers:answer")
ROWS = 60
SEQ_INSTRUCT = ("augment", "--teacher", "openai:test")
REGENERATE = ("augment", "--method", "regenerate", "--teacher", "openai:test")


@pytest.fixture(scope="module")
def server():
    """A model without latency; one answer in ten is invalid."""
    with AnsweringServer(*ANSWERS) as running:
        yield running


@pytest.fixture(scope="module")
def slow():
    """A model with a latency of 50 ms."""
    with AnsweringServer(*ANSWERS, "--latency", "0.05") as running:
        yield running


@pytest.fixture
def seqit(seqit, server, tmp_path):
    """Run a command against the server, with a separate cache for each test."""
    return partial(seqit, OPENAI_BASE_URL=server.url, XDG_CACHE_HOME=str(tmp_path / "xdg"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A file of records."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [
        {"instruction": f"Name {n} animals that live in the sea.", "output": f"A fish, {n} crabs."}
        for n in range(ROWS)
    ]
    raw = "".join(json.dumps(line) + "\n" for line in lines)
    command = [BIN / "seqit-import", "--format", "alpaca", "-o", path]
    subprocess.run(command, input=raw.encode(), check=True, capture_output=True)
    return path


def environment(server, folder):
    return os.environ | {"OPENAI_BASE_URL": server.url, "XDG_CACHE_HOME": str(folder / "xdg")}


def read_manifest(path):
    manifest = json.loads(path.read_bytes())
    outcomes = manifest["written"] + manifest["rejected"] + manifest["failed"] + manifest["merged"]
    assert manifest["read"] + manifest["added"] == outcomes
    return manifest


# The result depends only on rows, options and answers.


def test_max_concurrency_does_not_change_the_output(seqit, rows, tmp_path):
    runs = [
        seqit(*SEQ_INSTRUCT, rows, "--no-cache", "--max-concurrency", number, "--rejects", to)
        for number, to in ((1, tmp_path / "one"), (64, tmp_path / "many"))
    ]
    assert runs[0].out == runs[1].out != b""
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()


def test_two_iterations_equal_two_commands_in_a_pipe(seqit, rows):
    both = seqit(*SEQ_INSTRUCT, rows, "--iterations", 2)
    first = seqit(*SEQ_INSTRUCT, rows)
    second = seqit(*SEQ_INSTRUCT, "-", stdin=first.out)
    assert second.out == both.out
    assert {row["lineage"]["iteration"] for row in both.rows} == {1, 2}


def test_stages_run_one_by_one_give_the_chains_of_a_whole_run(seqit, rows):
    whole = seqit(*SEQ_INSTRUCT, rows)
    classified = seqit(*SEQ_INSTRUCT, rows, "--stop-after", "classify")
    rewritten = seqit(*SEQ_INSTRUCT, "--stop-after", "rewrite", stdin=classified.out)
    chains = {row["lineage"]["root"]: row for row in rewritten.rows}
    assert len(chains) >= len(whole.rows) > ROWS / 2
    for row in whole.rows:
        chain = chains[row["lineage"]["root"]]
        assert [chain["instruction"], chain.get("steps")] == [row["instruction"], row.get("steps")]
        if row["lineage"]["operation"] != "keep":
            assert chain["output"] == ""


def test_a_recording_answers_as_the_model_did(seqit, rows, tmp_path, server):
    recording = tmp_path / "recorded.jsonl"
    ran = seqit(*SEQ_INSTRUCT, rows, "--record", recording)
    served = server.stats()["requests"]
    replayed = seqit("augment", "--teacher", f"replay:{recording}", "--no-cache", rows)
    assert server.stats()["requests"] == served
    assert replayed.out.replace(b"replay:recorded.jsonl", b"openai:test") == ran.out != b""
    # Completions from the cache are recorded too.
    again = tmp_path / "again.jsonl"
    assert seqit(*SEQ_INSTRUCT, rows, "--record", again).out == ran.out
    assert sorted(again.read_bytes().splitlines()) == sorted(recording.read_bytes().splitlines())


# Limits, and estimates.


@pytest.mark.parametrize(
    ("limit", "more"), [(("--max-total-tokens", 100_000), 10_000_000), (("--max-cost", 0.1), 10)]
)
def test_a_limit_stops_a_run_and_a_higher_one_continues(limit, more, seqit, rows, tmp_path, server):
    prices = tmp_path / "prices.json"
    prices.write_text('{"test": {"input": 1, "output": 1}}')
    command = (*SEQ_INSTRUCT, rows, "--prices", prices)
    unlimited = seqit(*command, "--no-cache", "--rejects", tmp_path / "expected")

    reports = ("--manifest", tmp_path / "manifest", "--rejects", tmp_path / "rejects")
    stopped = seqit(*command, *reports, *limit, "--max-concurrency", 4)
    assert stopped.code == 3
    manifest = read_manifest(tmp_path / "manifest")
    used = manifest["counts"]["model"]
    assert 0.8 < (used["prompt_tokens"] + used["completion_tokens"]) / 100_000 < 1.05
    rejects = [json.loads(line) for line in (tmp_path / "rejects").read_bytes().splitlines()]
    over_budget = [reject for reject in rejects if reject["reason"] == "budget"]
    assert 0 < len(over_budget) < ROWS
    assert "the limit of " in over_budget[0]["message"]
    assert set(stopped.out.splitlines()) < set(unlimited.out.splitlines())
    # Rows are completed one after the other: the budget is spent on whole chains.
    assert min(reject["line"] for reject in over_budget) > len(stopped.rows) - 4 > ROWS / 4
    assert {"prefix", "suffix"} < {row["lineage"]["operation"] for row in stopped.rows}

    before = server.stats()["completions"]
    continued = seqit(*command, *reports, limit[0], more)
    assert continued.out == unlimited.out
    assert (tmp_path / "rejects").read_bytes() == (tmp_path / "expected").read_bytes()
    after = read_manifest(tmp_path / "manifest")["counts"]["model"]
    assert after["cached"] > 0
    assert server.stats()["completions"] - before == after["requests"] - after["cached"]


def test_a_dry_run_sends_no_request_and_writes_no_file(seqit, rows, tmp_path, server):
    before = server.stats()["requests"]
    options = ("--iterations", 2, "--max-cost", 5, "-o", tmp_path / "out.jsonl")
    teacher = ("augment", "--teacher", "openai:gpt-4o")
    ran = seqit(*teacher, *options, rows, "--dry-run")
    assert (ran.code, ran.out) == (0, b"")
    assert server.stats()["requests"] == before
    assert not list(tmp_path.iterdir())
    assert f"an estimate for {ROWS} rows and openai:gpt-4o; no request was sent" in ran.err
    lines = [line.split() for line in ran.err.splitlines()[1:-2]]
    assert lines[0][-1] == "US$"
    assert [line[0] for line in lines[1:]] == ["classify", "rewrite", "refine", "respond", "all"]
    numbers = [[float(each.replace(",", "")) for each in line[1:]] for line in lines[1:]]
    for *parts, total in zip(*numbers, strict=True):
        assert sum(parts) == pytest.approx(total, abs=3)
        assert all(part > 0 for part in parts[:3])


# The cache.


@pytest.mark.parametrize(
    "options",
    [
        ("--record", "rows.jsonl"),
        ("--cache", "rows.jsonl"),
        ("--record", "x", "-o", "x"),
        ("--cache", "x", "-o", "./x"),
        ("--record", "x", "--rejects", "x"),
        ("--record", "x", "--cache", "x"),
        ("--record", "-"),
        ("--record", "x.parquet"),
    ],
)
def test_a_file_with_two_roles_is_a_usage_error(options, seqit, rows, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_bytes(rows.read_bytes())
    ran = seqit(*REGENERATE, "rows.jsonl", *options, cwd=tmp_path)
    assert ran.code == 2, ran.err
    assert f"Error: {'--cache' if '--cache' in options else '--record'} " in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert source.read_bytes() == rows.read_bytes()


def cached_runs(seqit):
    return json.loads(seqit("cache", "--json").out)["runs"]


def test_a_second_run_sends_no_request_and_the_cache_report_shows_it(seqit, rows, server):
    first = seqit(*REGENERATE, rows)
    served = server.stats()["requests"]
    second = seqit(*REGENERATE, rows)
    assert server.stats()["requests"] == served
    assert second.out == first.out
    assert f"from the cache {ROWS}" in second.err
    assert "tokens 0 + 0" in second.err
    newest, oldest = cached_runs(seqit)
    assert (newest["hits"], newest["misses"]) == (ROWS, 0)
    assert (oldest["hits"], oldest["misses"]) == (0, ROWS)
    report = seqit("cache").out.decode()
    assert f"openai:test  respond           {ROWS}" in report
    assert "100.0%" in report


@pytest.mark.parametrize(
    ("option", "part"),
    [
        (("--temperature", 0.5), "sampling.temperature: 1.0 → 0.5"),
        (("--top-k", 40), "sampling.top_k: not given → 40"),
        (("--max-new-tokens", 100), "sampling.max_new_tokens: 2048 → 100"),
        (("--extra-body", '{"think": false}'), "extra_body.think: not given → false"),
        (("--seed", 1), "seed: "),
        (("--teacher", "openai:other"), 'model: "test" → "other"'),
        (("--base-url", "http://localhost:{port}/v1"), "base_url: "),
    ],
)
def test_cache_why_names_the_part_that_differs(option, part, seqit, rows, server):
    seqit(*REGENERATE, rows)
    served = server.stats()["requests"]
    options = [
        str(each).format(port=server.port) if "{port}" in str(each) else each for each in option
    ]
    assert seqit(*REGENERATE, rows, *options).code == 0
    assert server.stats()["requests"] == served + ROWS
    first = json.loads(rows.read_bytes().splitlines()[0])["id"]
    why = seqit("cache", "why", first[:8])
    assert why.code == 0, why.err
    lines = why.out.decode().splitlines()
    assert lines[0] == f"record {first}"
    start = next(n for n, line in enumerate(lines) if "differs from number 1" in line) + 1
    [difference] = lines[start:]  # only this part differs
    assert difference.strip().startswith(part)


def test_cache_why_reports_that_the_prompt_differs(seqit, rows):
    seqit(*SEQ_INSTRUCT, rows, "--stop-after", "classify")
    seqit(*SEQ_INSTRUCT, rows, "--stop-after", "classify", "--no-structured")
    first = json.loads(rows.read_bytes().splitlines()[0])["id"]
    assert "messages: the text differs" in seqit("cache", "why", first).out.decode()


def test_two_concurrent_processes_share_a_cache(rows, tmp_path, slow):
    command = [BIN / "seqit", *SEQ_INSTRUCT, rows, "-q"]
    env = environment(slow, tmp_path)
    processes = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(2)]
    outs = [process.communicate()[0] for process in processes]
    assert [process.returncode in (0, 3) for process in processes] == [True, True]
    assert outs[0] == outs[1] != b""
    before = slow.stats()["completions"]
    third = subprocess.run(command, env=env, stdout=subprocess.PIPE)
    assert third.stdout == outs[0]
    # Only invalid answers are requested again.
    assert slow.stats()["completions"] - before <= 3 * (ROWS - len(outs[0].splitlines()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_continues_from_the_cache(number, rows, tmp_path, slow):
    target = tmp_path / "out.jsonl"
    command = [BIN / "seqit", *SEQ_INSTRUCT, rows, "-o", target, "--max-concurrency", "8"]
    env = environment(slow, tmp_path)
    expected = subprocess.run([*command[:-4], "--no-cache"], env=env, capture_output=True).stdout

    start = slow.stats()["completions"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    while slow.stats()["completions"] < start + 50:
        time.sleep(0.02)
    process.send_signal(number)
    err = process.communicate()[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], err
    assert not target.exists()
    completed = slow.stats()["completions"] - start

    again = subprocess.run([*command, "--manifest", tmp_path / "manifest"], env=env)
    assert again.returncode in (0, 3)
    assert target.read_bytes() == expected
    assert read_manifest(tmp_path / "manifest")["counts"]["model"]["cached"] >= completed - 8


# Streaming, failed rows and progress.


def test_a_pipe_of_two_teachers_writes_a_row_before_it_reads_the_next(rows, tmp_path, server):
    env = environment(server, tmp_path)
    pipe = subprocess.PIPE
    first = subprocess.Popen(
        [BIN / "seqit", "augment", "--seed", "3", "-q"], stdin=pipe, stdout=pipe
    )
    command = [BIN / "seqit", *REGENERATE, "-q"]
    second = subprocess.Popen(command, env=env, stdin=first.stdout, stdout=pipe)
    first.stdout.close()
    for line in rows.read_bytes().splitlines(keepends=True)[:3]:
        first.stdin.write(line)
        first.stdin.flush()
        row = json.loads(second.stdout.readline())  # before the next one is written
        assert row["lineage"]["root"] == json.loads(line)["id"]
        assert row["lineage"]["teacher"] == "openai:test"
    first.stdin.close()
    assert second.stdout.read() == b""
    second.stdout.close()
    assert (first.wait(), second.wait()) == (0, 0)


def test_a_failed_row_does_not_stop_the_others(seqit, rows):
    lines = rows.read_bytes().splitlines(keepends=True)
    stdin = b"".join([lines[0], b'{"instruction": "[fault:too-long] Name a fish."}\n', lines[1]])
    ran = seqit(*REGENERATE, stdin=stdin)
    assert ran.code == 3
    assert len(ran.rows) == 2
    assert "<stdin>:2: " in ran.err


def test_strict_stops_at_a_row_without_an_answer(seqit, rows, tmp_path):
    stdin = b'{"instruction": "[fault:too-long] Name a fish."}\n' + rows.read_bytes()
    ran = seqit(*REGENERATE, "--strict", "-o", tmp_path / "out.jsonl", stdin=stdin)
    assert ran.code == 1
    assert "<stdin>:1: " in ran.err
    assert not (tmp_path / "out.jsonl").exists()


def run_on_a_terminal(command, env):
    """Run a command with a terminal as standard error; return its exit code and this output."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 4096):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(controller)
    return process.wait(), shown.decode()


PROGRESS_LINE = re.compile(
    rf"augment: [\d,]+ of {ROWS} rows, [\d.,]+ rows/s, [\d,]+ tokens/s"
    r"(, \$\d+\.\d\d)?(, \d:\d\d:\d\d left)?"
)


def test_progress_shows_rows_tokens_cost_and_the_time_left(rows, tmp_path, slow):
    prices = tmp_path / "prices.json"
    prices.write_text('{"test": {"input": 200, "output": 200}}')
    command = [
        *(BIN / "seqit", *SEQ_INSTRUCT, rows, "-o", tmp_path / "out.jsonl", "--prices", prices),
        *("--max-concurrency", "16"),
    ]
    code, shown = run_on_a_terminal(command, environment(slow, tmp_path))
    assert code in (0, 3), shown
    *progress, _ = shown.split("\r\x1b[K")
    lines = [each for each in progress if " rows/s" in each]
    assert len(lines) >= 2
    assert all(PROGRESS_LINE.fullmatch(line) for line in lines), lines
    assert "$" in lines[-1] and "$0.00" not in lines[-1]
    assert lines[-1].endswith(" left")
    # Progress is erased before each of the closing lines.
    assert re.search(rf"\r\x1b\[Kseqit augment: read {ROWS}, written ", shown)
    assert re.search(r"\r\x1b\[Kseqit augment: requests \d+, tokens [\d,]+ \+ [\d,]+, US\$ ", shown)


def test_quiet_shows_nothing_on_a_terminal(rows, tmp_path, slow):
    command = [BIN / "seqit", *REGENERATE, rows, "-o", tmp_path / "out.jsonl", "-q"]
    assert run_on_a_terminal(command, environment(slow, tmp_path)) == (0, "")
