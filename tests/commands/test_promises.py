"""The promises that hold for every command, tested once, over all of them."""

import json
import os
import signal
import subprocess
import time
from functools import partial
from typing import NamedTuple

import pytest
from support.answering_server import ERRORS, AnsweringServer
from support.paths import BIN

from seqit.cli import group


def lines_of(number):
    """Return so many rows, no two of them the same."""
    return [
        b'{"instruction": "Name %d animals of the sea.", "output": "A fish, %d crabs."}\n' % (n, n)
        for n in range(number)
    ]


ROWS = 2000
LINES = lines_of(ROWS)
PLAIN = b"".join(LINES)
FEW = 200  # rows for those that ask a model


class Usage(NamedTuple):
    """How a command that reads rows is run in these tests."""

    name: str
    args: tuple[str, ...] = ()
    output: bool = True  # whether rows come out on standard output
    asks: bool = False  # whether it asks a model
    responses: bool = False  # whether it reads responses, not records

    def line(self, *more: str) -> list[str]:
        return [self.name, *self.args, *more]


STREAMS = [
    Usage("import", ("--format", "alpaca")),
    Usage("export", ("--format", "messages")),
    Usage("augment"),
    Usage("augment", ("--method", "repeat")),
    Usage("augment", ("--method", "separate")),
    Usage("augment", ("--teacher", "openai:test"), asks=True),
    Usage("augment", ("--method", "regenerate", "--teacher", "openai:test"), asks=True),
    Usage("filter"),
    Usage("mix"),
    Usage("respond", ("--model", "openai:test"), asks=True),
    Usage("judge", ("--judge", "builtin"), responses=True),
    Usage("score", ("--benchmark", "gqa"), responses=True),
    Usage("validate", output=False),
]
SQL = Usage("sql", ("SELECT id, instruction FROM records ORDER BY id", "-f", "jsonl"))
READERS = [pytest.param(usage, id="-".join(usage.line()[:5])) for usage in STREAMS]
WRITERS = [pytest.param(u, id="-".join(u.line()[:5])) for u in STREAMS if u.output]
ASKERS = [pytest.param(u, id="-".join(u.line()[:5])) for u in STREAMS if u.asks]


@pytest.fixture(scope="module")
def server():
    """A model at a server on loopback that answers at once, and always what can be used."""
    with AnsweringServer("--answers", "support.teacher_answers:valid_answer") as running:
        yield running


@pytest.fixture(scope="module")
def env(server, tmp_path_factory):
    """The environment of every command: where the model is, and a cache that no one else has."""
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
    """Files of records by the number of their rows."""
    folder = tmp_path_factory.mktemp("promises")
    made = {}
    for number in (FEW, ROWS):
        made[number] = folder / f"rows{number}.jsonl"
        ran = seqit(
            "import", "--format", "alpaca", "-o", made[number], stdin=b"".join(LINES[:number])
        )
        assert ran.code == 0
        answered = [
            response_to(json.loads(line)) for line in made[number].read_bytes().splitlines()
        ]
        made[number, "responses"] = folder / f"responses{number}.jsonl"
        made[number, "responses"].write_bytes(b"".join(answered))
    return made


def response_to(record):
    """Return a line that answers the record as it is to be answered."""
    origin = {key: record["lineage"][key] for key in ("root", "iteration", "operation")}
    said = {"id": record["id"], "model": "test", "sample": 0, "output": record["output"]}
    check = {"kind": "at_least", "unit": "words", "value": 1}
    item = record | {"steps": [{"instruction": record["instruction"], "check": check}]}
    row = said | {"finish": "stop", "item": item, "lineage": origin}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def rows(request, files):
    """A file of records that every command reads; one of few where the command asks a model."""
    usage = request.node.callspec.params.get("usage") if hasattr(request.node, "callspec") else None
    number = FEW if usage and usage.asks else ROWS
    return files[number, "responses"] if usage and usage.responses else files[number]


def test_no_command_is_left_out():
    others = {"demo", "cache", "pipe", "train", "merge", "compare", "bench"}
    assert {usage.name for usage in [*STREAMS, SQL]} | others == set(group.commands)


@pytest.mark.parametrize("name", sorted(group.commands))
def test_the_group_and_the_command_are_one(name, seqit):
    alone = subprocess.run([BIN / f"seqit-{name}", "--help"], capture_output=True, text=True)
    together = seqit(name, "-h").out.decode()
    assert alone.returncode == 0
    assert alone.stdout.replace(f"seqit-{name}", f"seqit {name}", 1) == together


@pytest.mark.parametrize("usage", READERS)
def test_file_dash_and_no_source_are_the_same(usage, rows, seqit):
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
def test_the_account_balances_and_the_manifest_is_valid(usage, rows, tmp_path, seqit):
    manifest = tmp_path / "manifest.json"
    bad = rows.read_bytes() + b'{"instruction": 3}\n{oops\n'
    ran = seqit(*usage.line("--manifest", manifest, "--rejects", tmp_path / "r"), stdin=bad)
    assert ran.code == 3
    told = json.loads(manifest.read_bytes())
    assert told["read"] == bad.count(b"\n")
    assert told["failed"] == 2
    gone = told["written"] + told["rejected"] + told["failed"] + told["merged"]
    assert told["read"] + told["added"] == gone
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    assert len(rejects) == told["rejected"] + told["failed"]
    assert seqit("validate", "--schema", "manifest", manifest).code == 0
    assert seqit("validate", "--schema", "reject", tmp_path / "r").code == 0
    if usage.output:
        assert told["written"] == len(ran.rows)


@pytest.mark.parametrize("usage", READERS)
def test_strict_stops_at_the_first_row_that_fails(usage, seqit, tmp_path):
    target = tmp_path / "out.jsonl"
    ran = seqit(*usage.line("--strict", "-o", target), stdin=PLAIN[:500] + b"\n{oops\n")
    assert ran.code == 1
    assert "<stdin>:" in ran.err
    assert not target.exists()


@pytest.mark.parametrize("usage", READERS)
def test_unknown_option_is_usage(usage, seqit):
    ran = seqit(*usage.line("--no-such-option"))
    assert (ran.code, ran.out) == (2, b"")
    assert "--no-such-option" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("usage", [*READERS, pytest.param(SQL, id="sql")])
@pytest.mark.parametrize("fault", ["missing", "directory"])
def test_a_source_that_is_none_gets_a_sentence(usage, fault, tmp_path, seqit):
    name = "missing.jsonl" if fault == "missing" else str(tmp_path)
    ran = seqit(*usage.line(name), cwd=tmp_path)
    assert (ran.code, ran.out) == (1, b"")
    assert name in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("usage", WRITERS)
def test_a_reader_that_has_enough_ends_the_command_quietly(usage, rows, start):
    process = start(*usage.line(str(rows)), "-q")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.parametrize("usage", [u for u in WRITERS if "mix" not in u.id])
def test_rows_come_out_while_rows_still_come_in(usage, rows, start):
    process = start(*usage.line("-q"))
    process.stdin.write(b"".join(rows.read_bytes().splitlines(keepends=True)[:50]))
    process.stdin.flush()  # and stays open: an end of input would flush anything
    assert json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("usage", ASKERS)
def test_an_answer_comes_out_while_the_next_row_is_not_there_yet(usage, rows, start):
    process = start(*usage.line("-q", "--no-cache"))
    for line in rows.read_bytes().splitlines(keepends=True)[:3]:
        process.stdin.write(line)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["lineage"]["root"] == json.loads(line)["id"]
    rest, _ = process.communicate()
    assert (process.returncode, rest) == (0, b"")


ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("line", [["filter"], ["augment", "--method", "regenerate"]])
def test_a_signal_ends_a_command_whose_reader_sleeps(number, line, rows, start):
    teacher = ["--teacher", "openai:test", "--no-cache"] if "augment" in line else []
    process = start(*line, *teacher, rows, "-q")  # nobody reads: the pipe fills, writing blocks
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == ENDS[number]
    assert b"Traceback" not in process.communicate()[1]


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_ends_a_command_whose_model_is_silent(number, start, tmp_path):
    target = tmp_path / "out.jsonl"
    process = start(
        *("augment", "--method", "regenerate", "--teacher", "openai:test", "--no-cache"),
        *("-o", target),
    )
    process.stdin.write(b'{"instruction": "[fault:hang] Name a fish.", "output": "A cod."}\n')
    process.stdin.flush()
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == ENDS[number]
    assert b"Traceback" not in process.communicate()[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("usage", WRITERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_output_appears_whole_or_not_at_all(usage, number, rows, tmp_path, start):
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
    assert process.returncode == ENDS.get(number, -9), err
    if number != signal.SIGKILL:
        assert [path.name for path in tmp_path.iterdir()] == [
            "out.jsonl"
        ]  # and no temporary file stays
        assert b"Traceback" not in err


@pytest.mark.parametrize("usage", WRITERS)
def test_what_a_killed_process_left_is_cleared_by_the_next(usage, rows, tmp_path, start, seqit):
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
def test_output_file_and_standard_output_are_the_same_bytes(usage, rows, tmp_path, seqit):
    target = tmp_path / "out.jsonl"
    plain = seqit(*usage.line(str(rows))).out
    filed = seqit(*usage.line(str(rows), "-o", target))
    assert (filed.code, filed.out) == (0, b"")
    assert target.read_bytes() == plain


@pytest.mark.parametrize("usage", READERS)
def test_an_empty_source_is_no_error(usage, tmp_path, seqit):
    ran = seqit(*usage.line("-"), stdin=b"")
    assert (ran.code, ran.out) == (0, b"")
    assert "read 0, written 0" in ran.err


@pytest.mark.parametrize("usage", READERS)
def test_options_come_from_the_environment_too(usage, rows, seqit):
    variable = f"SEQIT_{usage.name.upper()}_QUIET"
    assert seqit(*usage.line(str(rows)), **{variable: "1"}).err == ""


@pytest.mark.parametrize("usage", READERS)
def test_a_file_is_not_two_things_at_once(usage, rows, tmp_path, seqit):
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
def test_a_row_at_the_limit_of_depth_has_a_fate(usage, depth, tmp_path, seqit):
    # As a column of a raw row it goes one level deeper into metadata; in a reject, one more.
    deep = "[" * (depth - 1) + "]" * (depth - 1)
    row = f'{{"instruction":"Say so.","output":"So.","deep":{deep}}}\n'.encode()
    rejects = tmp_path / "rejects.jsonl"
    ran = seqit(*usage.line("--rejects", rejects), stdin=row)
    assert ran.code in (0, 3), ran.err
    assert len(rejects.read_bytes().splitlines()) == (1 if ran.code else 0)


@pytest.mark.parametrize("usage", READERS)
def test_every_option_has_its_variable(usage):
    options = [p for p in group.commands[usage.name].params if p.param_type_name == "option"]
    for option in options:
        word = max(option.opts, key=len).removeprefix("--").upper().replace("-", "_")
        assert option.envvar == f"SEQIT_{usage.name.upper()}_{word}"


def test_a_parquet_source_ends_quietly_too(rows, tmp_path, seqit, start):
    assert seqit("filter", rows, "-o", tmp_path / "rows.parquet").code == 0
    process = start("filter", "-q", tmp_path / "rows.parquet")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.parametrize("usage", WRITERS)
def test_a_full_disk_gets_a_sentence(usage, rows, seqit):
    ran = seqit(*usage.line(str(rows), "-o", "/dev/full"))
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert "Traceback" not in ran.err


KEY = "sk-3f0c9e-not-to-be-seen"
FATAL = {"401", "402", "403", "404", "quota", "no-schema", "no-seed", "no-max-tokens", "422", "307"}
REGENERATE = ("augment", "--method", "regenerate", "--teacher", "openai:test", "--retries", "0")


def everything(ran, folder):
    """Return all that a run has said and written, wherever it was."""
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"\n".join([ran.out, ran.err.encode(), *written])


@pytest.mark.parametrize("faults", [["all"], *([name] for name in sorted(FATAL))], ids=str)
@pytest.mark.parametrize("flags", [(), ("--traceback",)], ids=str)
def test_the_key_is_nowhere(faults, flags, tmp_path, seqit):
    if faults == ["all"]:
        unreadable = ("cut", "invalid-json", "wrong-shape", "error-200")
        faults = ["", *sorted(set(ERRORS) - FATAL), *unreadable]
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
    assert KEY.encode() not in everything(ran, tmp_path)


@pytest.mark.parametrize("port", ["of the server", "1"])
def test_secrets_in_the_address_are_nowhere(port, server, tmp_path, seqit):
    port = server.port if port != "1" else 1
    ran = seqit(
        *REGENERATE,
        *("--cache", tmp_path / "cache", "--record", tmp_path / "recording"),
        *("--manifest", tmp_path / "manifest", "--rejects", tmp_path / "rejects"),
        stdin=b"".join(LINES[:40]) + b'{"instruction": "[fault:500] Why?", "output": ""}\n',
        OPENAI_BASE_URL=f"http://user:{KEY}@127.0.0.1:{port}/v1?api_key={KEY}",
    )
    assert ran.code == (1 if port == 1 else 3), ran.err
    assert KEY.encode() not in everything(ran, tmp_path)


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("word", [b"Name", b"[fault:empty] Name"])
def test_memory_does_not_grow_with_the_rows(word, tmp_path, env):
    peaks = []
    for number in (3_000, 9_000):
        source = tmp_path / f"{number}.jsonl"
        lines = (line.replace(b"Name", word) for line in lines_of(number))
        source.write_bytes(b"".join(lines))
        command = [BIN / "seqit", *REGENERATE, "-q", source, "--cache", tmp_path / f"c{number}"]
        ran = subprocess.run(
            [BIN / "python", "-c", PEAK, *map(str, command)],
            capture_output=True,
            env=os.environ | env,
            check=True,
        )
        code, peak = map(int, ran.stdout.split())
        assert code == (3 if b"fault" in word else 0), ran.stderr.decode()
        peaks.append(peak / 1024)  # MB
    few, many = peaks
    assert many < few + 12


def test_help_loads_nothing_heavy():
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
