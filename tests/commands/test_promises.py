"""Guarantees of all commands, each tested once over all of them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from functools import partial
from typing import NamedTuple

import pytest
from support.answering_server import ERRORS, AnsweringServer
from support.paths import BIN
from support.running import is_blocked

from seqit.cli import group


def row_lines(number):
    """Return `number` different rows as lines."""
    return [
        b'{"instruction": "Name %d animals of the sea.", "output": "A fish, %d crabs."}\n' % (n, n)
        for n in range(number)
    ]


ROWS = 2000
LINES = row_lines(ROWS)
FEW_ROWS = 200  # for commands that call a model


class Usage(NamedTuple):
    """A command that reads rows, with arguments that make it run."""

    name: str
    args: tuple[str, ...] = ()
    output: bool = True  # whether it writes rows to standard output
    calls_model: bool = False
    responses: bool = False  # whether it reads responses, not records

    def line(self, *more: str) -> list[str]:
        return [self.name, *self.args, *more]


STREAMS = [
    Usage("import", ("--format", "alpaca")),
    Usage("export", ("--format", "messages")),
    Usage("augment"),
    Usage("augment", ("--method", "repeat")),
    Usage("augment", ("--method", "separate")),
    Usage("augment", ("--teacher", "openai:test"), calls_model=True),
    Usage("augment", ("--method", "regenerate", "--teacher", "openai:test"), calls_model=True),
    Usage("filter"),
    Usage("mix"),
    Usage("respond", ("--model", "openai:test"), calls_model=True),
    Usage("judge", ("--judge", "builtin"), responses=True),
    Usage("score", ("--benchmark", "gqa"), responses=True),
    Usage("validate", output=False),
]
SQL = Usage("sql", ("SELECT id, instruction FROM records ORDER BY id", "-f", "jsonl"))
READERS = [pytest.param(usage, id="-".join(usage.line()[:5])) for usage in STREAMS]
WRITERS = [pytest.param(u, id="-".join(u.line()[:5])) for u in STREAMS if u.output]
MODEL_CALLERS = [pytest.param(u, id="-".join(u.line()[:5])) for u in STREAMS if u.calls_model]


@pytest.fixture(scope="module")
def server():
    """A model at a server on loopback, with valid answers and no latency."""
    with AnsweringServer("--answers", "support.teacher_answers:valid_answer") as running:
        yield running


@pytest.fixture(scope="module")
def env(server, tmp_path_factory):
    """The environment of every command: the model's address, and a cache for these tests."""
    return {"OPENAI_BASE_URL": server.url, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def seqit(seqit, env):
    return partial(seqit, **env)


@pytest.fixture(scope="module")
def start(env):
    """Start a command and return its process, with pipes to all three streams."""

    def popen(*args) -> subprocess.Popen:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([BIN / "seqit", *map(str, args)], env=os.environ | env, **pipes)

    return popen


@pytest.fixture(scope="module")
def files(tmp_path_factory, seqit):
    """Files of records by their number of rows, and of responses by (number, "responses")."""
    folder = tmp_path_factory.mktemp("promises")
    paths = {}
    for number in (FEW_ROWS, ROWS):
        paths[number] = folder / f"rows{number}.jsonl"
        ran = seqit(
            "import", "--format", "alpaca", "-o", paths[number], stdin=b"".join(LINES[:number])
        )
        assert ran.code == 0
        responses = [
            response_line(json.loads(line)) for line in paths[number].read_bytes().splitlines()
        ]
        paths[number, "responses"] = folder / f"responses{number}.jsonl"
        paths[number, "responses"].write_bytes(b"".join(responses))
    return paths


def response_line(record):
    """Return a response to the record, with its reference as the answer, as a line."""
    origin = {key: record["lineage"][key] for key in ("root", "iteration", "operation")}
    answer = {"id": record["id"], "model": "test", "sample": 0, "output": record["output"]}
    check = {"kind": "at_least", "unit": "words", "value": 1}
    item = record | {"steps": [{"instruction": record["instruction"], "check": check}]}
    row = answer | {"finish": "stop", "item": item, "lineage": origin}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def rows(request, files):
    """A file of rows for the command; a short one if it calls a model."""
    usage = request.node.callspec.params.get("usage") if hasattr(request.node, "callspec") else None
    number = FEW_ROWS if usage and usage.calls_model else ROWS
    return files[number, "responses"] if usage and usage.responses else files[number]


def test_every_command_is_covered():
    others = {"demo", "cache", "pipe", "train", "merge", "compare", "bench"}
    assert {usage.name for usage in [*STREAMS, SQL]} | others == set(group.commands)


@pytest.mark.parametrize("name", sorted(group.commands))
def test_the_group_and_the_program_have_the_same_help(name, seqit):
    program = subprocess.run([BIN / f"seqit-{name}", "--help"], capture_output=True, text=True)
    group_help = seqit(name, "-h").out.decode()
    assert program.returncode == 0
    assert program.stdout.replace(f"seqit-{name}", f"seqit {name}", 1) == group_help


@pytest.mark.parametrize("usage", READERS)
def test_a_file_a_dash_and_no_source_give_the_same_output(usage, rows, seqit):
    content = rows.read_bytes()
    named = seqit(*usage.line(str(rows)))
    assert named.code == 0, named.err
    assert seqit(*usage.line("-"), stdin=content).out == named.out
    assert seqit(*usage.line(), stdin=content).out == named.out
    if usage.output:
        assert len(named.rows) > 0


def test_sql_reads_standard_input_too(rows, seqit):
    named = seqit(*SQL.line(str(rows)))
    assert len(named.rows) == ROWS
    assert seqit(*SQL.line("-"), stdin=rows.read_bytes()).out == named.out


@pytest.mark.parametrize("usage", READERS)
def test_the_counts_add_up_and_the_manifest_is_valid(usage, rows, tmp_path, seqit):
    manifest = tmp_path / "manifest.json"
    bad = rows.read_bytes() + b'{"instruction": 3}\n{oops\n'
    ran = seqit(*usage.line("--manifest", manifest, "--rejects", tmp_path / "r"), stdin=bad)
    assert ran.code == 3
    counts = json.loads(manifest.read_bytes())
    assert counts["read"] == bad.count(b"\n")
    assert counts["failed"] == 2
    outcomes = counts["written"] + counts["rejected"] + counts["failed"] + counts["merged"]
    assert counts["read"] + counts["added"] == outcomes
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    assert len(rejects) == counts["rejected"] + counts["failed"]
    assert seqit("validate", "--schema", "manifest", manifest).code == 0
    assert seqit("validate", "--schema", "reject", tmp_path / "r").code == 0
    if usage.output:
        assert counts["written"] == len(ran.rows)


@pytest.mark.parametrize("usage", READERS)
def test_strict_stops_at_the_first_row_that_fails(usage, seqit, tmp_path):
    target = tmp_path / "out.jsonl"
    ran = seqit(*usage.line("--strict", "-o", target), stdin=b"".join(LINES)[:500] + b"\n{oops\n")
    assert ran.code == 1
    assert "<stdin>:" in ran.err
    assert not target.exists()


@pytest.mark.parametrize("usage", READERS)
def test_an_unknown_option_is_a_usage_error(usage, seqit):
    ran = seqit(*usage.line("--no-such-option"))
    assert (ran.code, ran.out) == (2, b"")
    assert "--no-such-option" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("usage", [*READERS, pytest.param(SQL, id="sql")])
@pytest.mark.parametrize("fault", ["missing", "directory"])
def test_an_invalid_source_is_named_in_the_message(usage, fault, tmp_path, seqit):
    name = "missing.jsonl" if fault == "missing" else str(tmp_path)
    ran = seqit(*usage.line(name), cwd=tmp_path)
    assert (ran.code, ran.out) == (1, b"")
    assert name in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("usage", WRITERS)
def test_a_closed_pipe_ends_the_command_without_a_message(usage, rows, start):
    process = start(*usage.line(str(rows)), "-q")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.parametrize("usage", [u for u in WRITERS if "mix" not in u.id])
def test_rows_are_written_while_the_input_is_still_open(usage, rows, start):
    process = start(*usage.line("-q"))
    process.stdin.write(b"".join(rows.read_bytes().splitlines(keepends=True)[:50]))
    process.stdin.flush()  # not closed: the end of the input would flush the output
    assert json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("usage", MODEL_CALLERS)
def test_an_answer_is_written_before_the_next_row_is_read(usage, rows, start):
    process = start(*usage.line("-q", "--no-cache"))
    for line in rows.read_bytes().splitlines(keepends=True)[:3]:
        process.stdin.write(line)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["lineage"]["root"] == json.loads(line)["id"]
    rest, _ = process.communicate()
    assert (process.returncode, rest) == (0, b"")


EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def bytes_in(pipe) -> int:
    """Return how many bytes a pipe holds that have not been read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize("line", [["filter"], ["augment", "--method", "regenerate"]])
def test_a_signal_ends_a_command_that_is_blocked_writing(number, line, rows, start):
    teacher = ["--teacher", "openai:test", "--no-cache"] if "augment" in line else []
    process = start(*line, *teacher, rows, "-q")  # the pipe is not read: it fills, writing blocks
    # A full pipe may hold fewer bytes than its size: its pages are not all filled to the end.
    half = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ) // 2
    while not (bytes_in(process.stdout) > half and is_blocked(process.pid)):
        assert process.poll() is None
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == EXIT_CODES[number]
    assert b"Traceback" not in process.communicate()[1]


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_signal_ends_a_command_that_waits_for_a_model(number, start, server, tmp_path):
    target = tmp_path / "out.jsonl"
    requests = server.stats().get("requests", 0)
    process = start(
        *("augment", "--method", "regenerate", "--teacher", "openai:test", "--no-cache"),
        *("-o", target),
    )
    process.stdin.write(b'{"instruction": "[fault:hang] Name a fish.", "output": "A cod."}\n')
    process.stdin.flush()
    while server.stats().get("requests", 0) == requests and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == EXIT_CODES[number]
    assert b"Traceback" not in process.communicate()[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("usage", WRITERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_the_previous_output(usage, number, rows, tmp_path, start):
    target = tmp_path / "out.jsonl"
    target.write_text("before\n")
    process = start(*usage.line("-o", str(target), "-"))
    process.stdin.write(rows.read_bytes())
    process.stdin.flush()
    partial = list(tmp_path.glob(".out.jsonl.*.partial"))
    deadline = time.monotonic() + 20
    while not partial and time.monotonic() < deadline:
        time.sleep(0.02)
        partial = list(tmp_path.glob(".out.jsonl.*.partial"))
    assert partial
    process.send_signal(number)
    _, err = process.communicate()
    assert target.read_text() == "before\n"
    assert process.returncode == EXIT_CODES.get(number, -9), err
    if number != signal.SIGKILL:
        names = [path.name for path in tmp_path.iterdir()]
        assert names == ["out.jsonl"]  # no temporary file is left
        assert b"Traceback" not in err


@pytest.mark.parametrize("usage", WRITERS)
def test_the_next_run_removes_temporary_files_of_a_killed_one(usage, rows, tmp_path, start, seqit):
    target = tmp_path / "out.jsonl"
    process = start(*usage.line("-o", str(target), "-"))
    process.stdin.write(rows.read_bytes())
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".out.jsonl.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert len(list(tmp_path.glob(".out.jsonl.*.partial"))) == 1
    ran = seqit(*usage.line(str(rows), "-o", str(target)))
    assert ran.code == 0, ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("usage", WRITERS)
def test_the_output_file_has_the_bytes_of_standard_output(usage, rows, tmp_path, seqit):
    target = tmp_path / "out.jsonl"
    expected = seqit(*usage.line(str(rows))).out
    ran = seqit(*usage.line(str(rows), "-o", target))
    assert (ran.code, ran.out) == (0, b"")
    assert target.read_bytes() == expected


@pytest.mark.parametrize("usage", READERS)
def test_an_empty_source_is_not_an_error(usage, tmp_path, seqit):
    ran = seqit(*usage.line("-"), stdin=b"")
    assert (ran.code, ran.out) == (0, b"")
    assert "read 0, written 0" in ran.err


@pytest.mark.parametrize("usage", READERS)
def test_options_are_read_from_the_environment(usage, rows, seqit):
    variable = f"SEQIT_{usage.name.upper()}_QUIET"
    assert seqit(*usage.line(str(rows)), **{variable: "1"}).err == ""


@pytest.mark.parametrize("usage", READERS)
def test_a_file_with_two_roles_is_a_usage_error(usage, rows, tmp_path, seqit):
    source, other = tmp_path / "rows.jsonl", tmp_path / "other.jsonl"
    source.write_bytes(rows.read_bytes())
    for args in (
        ("--rejects", source),
        ("--manifest", source),
        ("--rejects", other, "--manifest", other),
        ("--rejects", other, "-o", tmp_path / "." / "other.jsonl"),
    ):
        ran = seqit(*usage.line(str(source), *map(str, args)))
        assert ran.code == 2, ran.err
        assert source.read_bytes() == rows.read_bytes()
        assert not other.exists()


@pytest.mark.parametrize("depth", [200, 252, 253, 254, 255, 400])
@pytest.mark.parametrize("usage", READERS)
def test_a_row_at_the_nesting_limit_is_written_or_rejected(usage, depth, tmp_path, seqit):
    # The column of a raw row is one level deeper in metadata, and one more in a reject.
    deep = "[" * (depth - 1) + "]" * (depth - 1)
    row = f'{{"instruction":"Say so.","output":"So.","deep":{deep}}}\n'.encode()
    rejects = tmp_path / "rejects.jsonl"
    ran = seqit(*usage.line("--rejects", rejects), stdin=row)
    assert ran.code in (0, 3), ran.err
    assert len(rejects.read_bytes().splitlines()) == (1 if ran.code else 0)


@pytest.mark.parametrize("usage", READERS)
def test_every_option_has_an_environment_variable(usage):
    options = [p for p in group.commands[usage.name].params if p.param_type_name == "option"]
    for option in options:
        name = max(option.opts, key=len).removeprefix("--").upper().replace("-", "_")
        assert option.envvar == f"SEQIT_{usage.name.upper()}_{name}"


def test_a_closed_pipe_ends_a_command_with_a_parquet_source(rows, tmp_path, seqit, start):
    assert seqit("filter", rows, "-o", tmp_path / "rows.parquet").code == 0
    process = start("filter", "-q", tmp_path / "rows.parquet")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.parametrize("usage", WRITERS)
def test_a_full_disk_is_reported(usage, rows, seqit):
    ran = seqit(*usage.line(str(rows), "-o", "/dev/full"))
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert "Traceback" not in ran.err


KEY = "sk-3f0c9e-not-to-be-seen"
FATAL_FAULTS = {
    *("401", "402", "403", "404", "quota", "no-schema", "no-seed", "no-max-tokens", "422", "307")
}
REGENERATE = ("augment", "--method", "regenerate", "--teacher", "openai:test", "--retries", "0")


def all_output(ran, folder):
    """Return everything that a run printed, or wrote to a folder."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"\n".join([ran.out, ran.err.encode(), *files])


@pytest.mark.parametrize("faults", [["all"], *([name] for name in sorted(FATAL_FAULTS))], ids=str)
@pytest.mark.parametrize("flags", [(), ("--traceback",)], ids=str)
def test_the_api_key_is_not_in_any_output(faults, flags, tmp_path, seqit):
    if faults == ["all"]:
        invalid_bodies = ("cut", "invalid-json", "wrong-shape", "error-200")
        faults = ["", *sorted(set(ERRORS) - FATAL_FAULTS), *invalid_bodies]
    lines = [
        json.dumps({"instruction": f"[fault:{name}] Name a fish.", "output": "A cod."})
        for name in faults
    ]
    ran = seqit(
        *REGENERATE,
        *flags,
        *("--cache", tmp_path / "cache", "--record", tmp_path / "recording"),
        *("--manifest", tmp_path / "manifest", "--rejects", tmp_path / "rejects"),
        stdin="\n".join(lines).encode(),
        OPENAI_API_KEY=KEY,
    )
    assert ran.code in (1, 3), ran.err
    assert KEY.encode() not in all_output(ran, tmp_path)


@pytest.mark.parametrize("port", ["of the server", "1"])
def test_secrets_in_the_url_are_not_in_any_output(port, server, tmp_path, seqit):
    port = server.port if port != "1" else 1
    ran = seqit(
        *REGENERATE,
        *("--cache", tmp_path / "cache", "--record", tmp_path / "recording"),
        *("--manifest", tmp_path / "manifest", "--rejects", tmp_path / "rejects"),
        stdin=b"".join(LINES[:40]) + b'{"instruction": "[fault:500] Why?", "output": ""}\n',
        OPENAI_BASE_URL=f"http://user:{KEY}@127.0.0.1:{port}/v1?api_key={KEY}",
    )
    assert ran.code == (1 if port == 1 else 3), ran.err
    assert KEY.encode() not in all_output(ran, tmp_path)


PEAK_MEMORY = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("word", [b"Name", b"[fault:empty] Name"])
def test_memory_does_not_grow_with_the_number_of_rows(word, tmp_path, env):
    peaks = []
    for number in (3_000, 9_000):
        source = tmp_path / f"{number}.jsonl"
        lines = (line.replace(b"Name", word) for line in row_lines(number))
        source.write_bytes(b"".join(lines))
        command = [BIN / "seqit", *REGENERATE, "-q", source, "--cache", tmp_path / f"c{number}"]
        ran = subprocess.run(
            [BIN / "python", "-c", PEAK_MEMORY, *map(str, command)],
            capture_output=True,
            env=os.environ | env,
            check=True,
        )
        code, peak = map(int, ran.stdout.split())
        assert code == (3 if b"fault" in word else 0), ran.stderr.decode()
        peaks.append(peak / 1024)  # MB
    few, many = peaks
    assert many < few + 12


def test_help_imports_no_heavy_library():
    code = (
        "import sys; sys.argv = ['seqit', '--help']\n"
        "from seqit.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'pyarrow', 'duckdb', 'jsonschema', 'jsonschema_rs', 'orjson', 'yaml', 'numpy',"
        " 'zstandard', 'xxhash', 'torch', 'transformers', 'datasets', 'vllm'}\n"
        "print('loaded', sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([BIN / "python", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "loaded []\n"
