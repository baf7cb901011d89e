"""seqit pipe: the bytes, rejects, manifests and exit code equal those of a shell's pipe."""

import json
import os
import shlex
import signal
import subprocess
import time

import pytest
from support.answering_server import AnsweringServer
from support.paths import BIN

from seqit.commands.pipe import split_commands
from seqit.errors import UsageError

WORDS = ("cat", "house", "river", "stone", "cloud", "glass", "train", "field")


def seed_rows(count: int = 300) -> bytes:
    rows = []
    for n in range(count):
        word = WORDS[n % len(WORDS)]
        row = {"instruction": f"Write {n % 250} facts about a {word}.", "output": f"A {word}: {n}."}
        row |= {"input": f"{word} {n % 250}"} if n % 3 else {}
        row |= {"topic": word, "n": n} if n % 5 == 0 else {}
        rows.append(json.dumps(row, ensure_ascii=n % 2 == 0).encode())
    if count < 20:
        return b"\n".join(rows) + b"\n"
    rows[7] = b'{"instruction": 3}'
    rows[11] = b"{oops"
    rows[13] = '{"instruction": "Größe? “ja”", "output": "", "x": 1e300}'.encode()
    return b"\n".join(rows) + b"\n\n"


PIPES = [
    "import --format alpaca seeds.jsonl | filter",
    "import --format alpaca seeds.jsonl | augment --seed 7 | filter",
    "import --format alpaca --workers 2 seeds.jsonl | augment --iterations 2 | filter --workers 2",
    "augment --method repeat --on-inapplicable pass seeds.jsonl | augment --method separate "
    "| filter",
    "filter seeds.jsonl --no-defaults -r length:field=output,max_words=2 | augment | validate -o -",
    "filter seeds.jsonl | export --format messages",
    "import --format alpaca seeds.jsonl | export --format alpaca --columns lineage | filter",
    "import --format auto --name 'a | b' seeds.jsonl | filter --without exact-duplicate | validate",
    "filter | augment --method repeat",
]


def sorted_lines(text: str) -> list[str]:
    """Return the lines of standard error, sorted: a shell's processes write in any order."""
    return sorted(text.splitlines())


def run_both(pipe: str, folder, seqit, stdin: bytes = b""):
    """Run a pipe in one process and in the shell, each stage with rejects and a manifest."""
    (folder / "seeds.jsonl").write_bytes(seed_rows())
    results = []
    for kind in ("one", "shell"):
        stages = []
        for number, stage in enumerate(split_commands(pipe)):
            stages.append(
                f"{stage.strip()} --rejects {kind}.{number}.r --manifest {kind}.{number}.m"
            )
        if kind == "one":
            ran = seqit("pipe", " | ".join(stages), stdin=stdin, cwd=folder)
            results.append((ran.code, ran.out, ran.err))
        else:
            script = " | ".join(f"{shlex.quote(str(BIN / 'seqit'))} {stage}" for stage in stages)
            done = subprocess.run(
                ["bash", "-c", script + '; for c in "${PIPESTATUS[@]}"; do echo $c >> codes; done'],
                input=stdin,
                capture_output=True,
                cwd=folder,
                env={"PATH": os.environ["PATH"]},
            )
            code = max(map(int, (folder / "codes").read_text().split()))
            results.append((code, done.stdout, done.stderr.decode()))
    return results, len(stages)


def read_manifest(path):
    manifest = json.loads(path.read_bytes())
    for name in ("rejects", "manifest"):
        manifest["options"].pop(name, None)
    return manifest


@pytest.mark.parametrize("pipe", PIPES)
def test_one_process_gives_the_results_of_the_shells_pipe(pipe, tmp_path, seqit):
    (one, shell), count = run_both(pipe, tmp_path, seqit, seed_rows())
    assert one[0] == shell[0]
    assert one[1] == shell[1]
    assert sorted_lines(one[2]) == sorted_lines(shell[2])
    assert len(shell[1]) > 1000 or "validate" in pipe
    for number in range(count):
        rejects = (tmp_path / f"one.{number}.r").read_bytes()
        assert rejects == (tmp_path / f"shell.{number}.r").read_bytes()
        manifest = read_manifest(tmp_path / f"one.{number}.m")
        assert manifest == read_manifest(tmp_path / f"shell.{number}.m")
        assert manifest["complete"] is True


def test_line_numbers_of_a_later_stage_count_the_rows_passed_to_it(tmp_path, seqit):
    (tmp_path / "seeds.jsonl").write_bytes(seed_rows())
    both_stages = "import --format alpaca seeds.jsonl | filter --rejects r.jsonl"
    assert seqit("pipe", both_stages, cwd=tmp_path).code == 3
    rejects = [json.loads(line) for line in (tmp_path / "r.jsonl").read_bytes().splitlines()]
    assert {reject["source"] for reject in rejects} == {"<stdin>"}
    # Rows 8 and 12 failed in import, so the empty answer of row 14 is the twelfth row of filter.
    assert rejects[0]["reason"] == "empty" and rejects[0]["line"] == 12


def test_a_row_that_is_too_long_fails_as_in_the_shells_pipe(tmp_path, seqit):
    long = {"instruction": "Say it.", "input": "é" * 3_000_000, "output": "So."}
    rows = json.dumps(long, ensure_ascii=False).encode() + b"\n" + seed_rows(5)
    pipe = "augment --method repeat --on-inapplicable pass | filter --no-defaults -r empty-output"
    shell = " | ".join(f"{BIN / 'seqit'} {stage}" for stage in split_commands(pipe))
    done = subprocess.run(["bash", "-c", shell], input=rows, capture_output=True, cwd=tmp_path)
    ran = seqit("pipe", pipe, stdin=rows, cwd=tmp_path)
    assert ran.code == 3 == done.returncode
    assert ran.out == done.stdout
    assert sorted_lines(ran.err) == sorted_lines(done.stderr.decode())
    assert "the longest accepted has" in ran.err


def test_mix_samples_from_the_rows_passed_to_it(tmp_path, seqit):
    (tmp_path / "seeds.jsonl").write_bytes(seed_rows())
    ran = seqit("pipe", "filter -q seeds.jsonl | mix --seed 3 -- -=20 | filter -q", cwd=tmp_path)
    assert ran.code == 3 and len(ran.rows) == 20, ran.err
    first = seqit("filter", "-q", "seeds.jsonl", cwd=tmp_path).out
    assert seqit("mix", "-q", "--seed", "3", "--", "-=20", stdin=first).out == ran.out


def test_the_last_command_writes_a_parquet_file(tmp_path, seqit):
    pipe = f"import --format alpaca | filter -o {tmp_path / 'out.parquet'}"
    ran = seqit("pipe", pipe, stdin=seed_rows(20))
    assert (ran.code, ran.out) == (3, b"")
    written = seqit("filter", "-q", tmp_path / "out.parquet")
    expected = seqit("pipe", "import --format alpaca | filter", stdin=seed_rows(20))
    assert written.out == expected.out


@pytest.mark.parametrize(
    ("pipe", "message"),
    [
        ("filter > out.jsonl", "'>' is not quoted"),
        ("filter; mix", "';' is not quoted"),
        ("filter & mix", "'&' is not quoted"),
        ("filter $HOME/a.jsonl", "'$' is not quoted"),
        ("filter || mix", "a command is missing"),
        ("filter |", "a command is missing"),
        ("filter 'a.jsonl", "a quote is not closed"),
        ("filtre a.jsonl", "did you mean 'filter'?"),
        ("sql 'SELECT 1' | filter", "there is no command 'sql' for a pipe"),
        ("filter | import --format alpaca", "import reads rows of other formats"),
        ("filter -o a.jsonl | augment", "-o FILE is for the last command"),
        ("filter | augment b.jsonl", "only the first one of a pipe has a SOURCE"),
        ("validate | filter", "passes no rows on"),
        ("filter | augment --no-such", "there is no option --no-such"),
    ],
)
def test_an_invalid_pipe_is_a_usage_error(pipe, message, tmp_path, seqit):
    ran = seqit("pipe", pipe, stdin=seed_rows(5), cwd=tmp_path)
    assert (ran.code, ran.out) == (2, b"")
    assert message in " ".join(ran.err.split())
    assert not list(tmp_path.iterdir())


def test_quotes_are_parsed_as_by_a_shell():
    text = """filter --keep "a > 1 | b" 'c;d' e\\|f "g\\"h|" | mix"""
    assert [shlex.split(stage) for stage in split_commands(text)] == [
        ["filter", "--keep", "a > 1 | b", "c;d", "e|f", 'g"h|'],
        ["mix"],
    ]
    with pytest.raises(UsageError):
        list(split_commands("filter a\\"))


def test_an_unquoted_pipe_is_a_usage_error(seqit):
    ran = seqit("pipe", "filter", "a.jsonl")
    assert ran.code == 2 and "put the whole pipe in quotes" in ran.err


def test_an_error_in_an_early_stage_has_its_name_and_leaves_no_output(tmp_path, seqit):
    pipe = "import --strict --format alpaca --manifest m | augment | filter -o out.jsonl"
    ran = seqit("pipe", pipe, stdin=seed_rows(), cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.startswith("seqit import: <stdin>:8: instruction: ")
    assert "filter" not in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    assert json.loads((tmp_path / "m").read_bytes())["complete"] is False


def test_an_error_in_a_late_stage_ends_the_pipe(tmp_path, seqit):
    ran = seqit("pipe", "import --format alpaca -q | filter -o /dev/full", stdin=seed_rows())
    assert ran.code == 1
    assert "seqit filter: " in ran.err and "No space left on device" in ran.err
    assert "Traceback" not in ran.err


def start(*args):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([BIN / "seqit", *map(str, args)], **pipes)


def test_a_closed_output_ends_the_pipe_without_a_message(tmp_path):
    (tmp_path / "seeds.jsonl").write_bytes(seed_rows(3000))
    process = start("pipe", f"augment -q {tmp_path / 'seeds.jsonl'} | filter -q")
    process.stdout.close()
    assert process.wait(30) == 141
    assert b"Traceback" not in process.stderr.read()
    process.stdin.close()
    process.stderr.close()


def test_rows_are_written_while_the_input_is_still_open():
    process = start("pipe", "import -q --format alpaca | augment -q | filter -q")
    process.stdin.write(seed_rows(5))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_output(number, tmp_path):
    pipe = f"import -q --format alpaca | augment -q | filter -q -o {tmp_path / 'out.jsonl'}"
    process = start("pipe", pipe)
    process.stdin.write(seed_rows())
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert not list(tmp_path.iterdir())
    assert b"Traceback" not in err
    assert err.count(b"interrupted") == (number == signal.SIGINT)


@pytest.fixture(scope="module")
def server():
    with AnsweringServer("--latency", "0.01") as running:
        yield running


REGENERATE = "--method regenerate --teacher openai:test --no-cache"
MODEL_PIPES = [
    f"import --format alpaca | augment {REGENERATE} --seed 5 | filter",
    f"augment {REGENERATE} | augment --method repeat --on-inapplicable pass "
    f"| augment {REGENERATE} --temperature 0",
]


@pytest.mark.parametrize("pipe", MODEL_PIPES)
def test_any_stage_can_call_a_model(pipe, server, tmp_path, seqit):
    env = {"OPENAI_BASE_URL": server.url}
    rows = seed_rows(60)
    ran = seqit("pipe", pipe, stdin=rows, cwd=tmp_path, **env)
    for stage in split_commands(pipe):
        done = seqit(*shlex.split(stage), stdin=rows, cwd=tmp_path, **env)
        assert done.code in (0, 3), done.err
        rows = done.out
    assert ran.out == rows and ran.code == 3, ran.err
    assert len(ran.rows) > 40


@pytest.mark.parametrize("pipe", MODEL_PIPES)
def test_answers_are_written_while_the_input_is_still_open(pipe, server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    process = start("pipe", pipe)
    process.stdin.write(seed_rows(5))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
