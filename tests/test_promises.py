"""The promises that hold for every command, tested once, over all of them."""

import json
import signal
import subprocess
import time
from typing import NamedTuple

import pytest
from conftest import BIN

from seqit.cli import group

ROWS = [
    {"instruction": f"Name {n} animals that live in the sea.", "output": f"A fish and {n} crabs."}
    for n in range(2000)
]
PLAIN = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


class Usage(NamedTuple):
    """How a command that reads rows is run in these tests."""

    name: str
    args: tuple[str, ...] = ()
    output: bool = True  # whether rows come out on standard output

    def line(self, *more: str) -> list[str]:
        return [self.name, *self.args, *more]


STREAMS = [
    Usage("import", ("--format", "alpaca")),
    Usage("export", ("--format", "messages")),
    Usage("augment"),
    Usage("augment", ("--method", "repeat")),
    Usage("augment", ("--method", "separate")),
    Usage("filter"),
    Usage("mix"),
    Usage("validate", output=False),
]
SQL = Usage("sql", ("SELECT id, instruction FROM records ORDER BY id", "-f", "jsonl"))
READERS = [pytest.param(usage, id="-".join(usage.line()[:3])) for usage in STREAMS]
WRITERS = [pytest.param(u, id="-".join(u.line()[:3])) for u in STREAMS if u.output]


@pytest.fixture(scope="module")
def rows(tmp_path_factory, seqit):
    """A file of records that every command reads."""
    path = tmp_path_factory.mktemp("promises") / "rows.jsonl"
    assert seqit("import", "--format", "alpaca", "-o", path, stdin=PLAIN).code == 0
    return path


def start(*args, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [BIN / "seqit", *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def test_no_command_is_left_out():
    assert {usage.name for usage in [*STREAMS, SQL]} | {"demo", "cache"} == set(group.commands)


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
    assert len(named.rows) == len(ROWS)
    assert seqit(*SQL.line("-"), stdin=rows.read_bytes()).out == named.out


@pytest.mark.parametrize("usage", READERS)
def test_the_account_balances_and_the_manifest_is_valid(usage, rows, tmp_path, seqit):
    manifest = tmp_path / "manifest.json"
    bad = rows.read_bytes() + b'{"instruction": 3}\n{oops\n'
    ran = seqit(*usage.line("--manifest", manifest, "--rejects", tmp_path / "r"), stdin=bad)
    assert ran.code == 3
    told = json.loads(manifest.read_bytes())
    assert told["read"] == len(ROWS) + 2
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
def test_a_reader_that_has_enough_ends_the_command_quietly(usage, rows):
    process = start(*usage.line(str(rows)), "-q")
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


@pytest.mark.parametrize("usage", [u for u in WRITERS if "mix" not in u.id])
def test_rows_come_out_while_rows_still_come_in(usage, rows):
    process = start(*usage.line("-q"))
    process.stdin.write(b"".join(rows.read_bytes().splitlines(keepends=True)[:50]))
    process.stdin.flush()  # and stays open: an end of input would flush anything
    assert json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_whose_reader_sleeps(number, rows):
    process = start("filter", str(rows), "-q")  # nobody reads: the pipe fills, writing blocks
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    process.communicate()


@pytest.mark.parametrize("usage", WRITERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_output_appears_whole_or_not_at_all(usage, number, rows, tmp_path):
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
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -9), err
    if number != signal.SIGKILL:
        assert [path.name for path in tmp_path.iterdir()] == [
            "out.jsonl"
        ]  # and no temporary file stays
        assert b"Traceback" not in err


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


def test_a_parquet_source_ends_quietly_too(rows, tmp_path, seqit):
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
