"""The completion cache: keys, persistence, concurrent use, errors, and the cache command."""

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.commands.cache import command
from seqit.errors import SeqitError
from seqit.llm.cache import store as cache_store
from seqit.llm.cache.cache import Cache, default_cache_path
from seqit.llm.cache.key import CacheKeys
from seqit.llm.cache.report import clear, history, overview
from seqit.llm.request import Completion, Request, Sampling

IDENTITY = {"kind": "openai", "model": "gpt-4o", "base_url": "https://api.example/v1"}
REQUEST = Request(
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a fish."}],
    Sampling(),
    seed=7,
    schema={"type": "object", "properties": {"fish": {"type": "string"}}},
    record_id="3f09c1d2",
    iteration=1,
    stage="respond",
)
COMPLETION = Completion("A cod.", "stop", 21, 4, "gpt-4o-2024-08-06")

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_cache import COMPLETION, IDENTITY, REQUEST
from seqit.llm.cache.cache import Cache
first, count = int(sys.argv[3]), int(sys.argv[4])
cache = Cache(Path(sys.argv[2]), IDENTITY)
for seed in range(first, first + count):
    request = replace(REQUEST, seed=seed)
    key = cache.key(request)
    if cache.get(key) is None:
        cache.put([(key, request, COMPLETION)])
    print(key.hex(), flush=True)
cache.close()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "completions.sqlite"


@pytest.fixture
def cache(path):
    cache = Cache(path, IDENTITY)
    yield cache
    cache.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("shared") / "c.sqlite", IDENTITY)
    yield cache
    cache.close()


def start_writer(path: Path, first: int, count: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, Path(__file__).parent, path, str(first), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def store_run(path, *requests, identity=IDENTITY, completion=COMPLETION):
    """One run: each request is looked up, and stored if missing."""
    cache = Cache(path, identity)
    for request in requests:
        key = cache.key(request)
        if cache.get(key) is None:
            cache.put([(key, request, completion)])
    cache.close()


# --- the key ---


def test_the_key_does_not_change_between_releases():
    """Completions that were paid for are found by later versions."""
    keys = CacheKeys(IDENTITY)
    assert keys.context(REQUEST) == (
        b'{"identity":{"base_url":"https://api.example/v1","kind":"openai","model":"gpt-4o"},'
        b'"sampling":{"max_new_tokens":2048,"temperature":1.0,"top_p":0.9},'
        b'"schema":{"properties":{"fish":{"type":"string"}},"type":"object"}}'
    )
    assert keys.key(REQUEST).hex() == (
        "41d748b948b32da53c71534422e375aef783c55da546fe290000000000000007"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"messages": REQUEST.messages[1:]},
        {"messages": [{"role": "user", "content": "Name a fish. "}]},
        {"messages": [{"role": "user", "content": "Be brief."}, REQUEST.messages[1]]},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(temperature=None)},
        {"sampling": Sampling(top_k=50)},
        {"sampling": Sampling(max_new_tokens=7)},
        {"sampling": Sampling(stop=("\n",))},
        {"seed": 8},
        {"schema": None},
        {"schema": {"type": "object"}},
        {"logprobs": 1},
    ],
    ids=str,
)
def test_everything_that_decides_the_completion_is_in_the_key(change):
    keys = CacheKeys(IDENTITY)
    assert keys.key(replace(REQUEST, **change)) != keys.key(REQUEST)


@pytest.mark.parametrize("part", [*IDENTITY, "revision"])
def test_all_of_the_identity_is_in_the_key(part):
    assert CacheKeys({**IDENTITY, part: "other"}).key(REQUEST) != CacheKeys(IDENTITY).key(REQUEST)


def test_the_record_and_the_order_of_names_are_not_in_the_key():
    keys = CacheKeys(IDENTITY)
    other_stage = replace(REQUEST, record_id="x", iteration=4, stage="y", attempt=2)
    reordered = replace(
        REQUEST,
        messages=[dict(reversed(message.items())) for message in REQUEST.messages],
        schema=dict(reversed(REQUEST.schema.items())),
    )
    reversed_keys = CacheKeys(dict(reversed(IDENTITY.items())))
    assert keys.key(other_stage) == keys.key(REQUEST)
    assert keys.key(reordered) == reversed_keys.key(REQUEST) == keys.key(REQUEST)


def with_image(image: Path | str) -> Request:
    parts = [{"type": "image", "image": str(image)}, {"type": "text", "text": "What is it?"}]
    return replace(REQUEST, messages=[{"role": "user", "content": parts}])


def test_an_image_is_hashed_by_its_content(tmp_path):
    keys = CacheKeys(IDENTITY)
    here, there = tmp_path / "a.png", tmp_path / "b.png"
    here.write_bytes(b"one")
    there.write_bytes(b"one")
    first = keys.key(with_image(here))
    assert keys.key(with_image(there)) == first
    here.write_bytes(b"two")
    os.utime(here, ns=(1, 1))  # the size is the same
    assert keys.key(with_image(here)) not in (first, keys.key(with_image(tmp_path / "absent.png")))
    here.write_bytes(b"one")
    assert keys.key(with_image(here)) == first


def test_a_remote_image_is_hashed_by_its_url():
    keys = CacheKeys(IDENTITY)
    images = ["https://a.example/1.png", "https://a.example/2.png", "data:image/png;base64,AAAA"]
    assert len({keys.key(with_image(image)) for image in images}) == 3


# --- entries ---


@settings(deadline=None)
@given(
    text=st.text(st.characters(codec=None)),
    logprobs=st.lists(st.fixed_dictionaries({"token": st.text("ab"), "logprob": st.floats(-9, 0)})),
)
def test_a_completion_round_trips(shared, text, logprobs):
    completion = Completion(text, "length", 3, 5, "m@1", logprobs)
    shared.put([(b"key", REQUEST, completion)])
    assert shared.get(b"key") == completion
    shared.forget([b"key"])


def test_the_first_completion_stays_until_it_is_forgotten(cache):
    key = cache.key(REQUEST)
    other = replace(COMPLETION, text="A trout.")
    cache.put([(key, REQUEST, COMPLETION), (key, REQUEST, other)])
    cache.put([(key, REQUEST, other)])
    assert cache.get(key) == COMPLETION
    cache.forget([key, b"never there"])
    assert cache.get(key) is None
    cache.put([(key, REQUEST, other)])
    assert cache.get(key) == other
    assert (cache.hits, cache.misses) == (2, 1)


def test_put_stores_all_or_nothing(cache):
    good, bad = (b"1", REQUEST, COMPLETION), (b"2", REQUEST, replace(COMPLETION, model=None))
    with pytest.raises(SeqitError, match="NOT NULL"):
        cache.put([good, bad])
    assert cache.get(b"1") is None
    cache.put([good])  # the connection still works
    assert cache.get(b"1") == COMPLETION


def test_each_further_completion_is_one_statement(cache):
    """So a put is cheap: no explicit transaction, no context written again."""
    cache.put([(cache.key(REQUEST), REQUEST, COMPLETION)])
    cache._counts_saved_at += 3600
    statements = []
    cache._connection.set_trace_callback(statements.append)
    other = replace(REQUEST, seed=8)
    cache.put([(cache.key(other), other, COMPLETION)])
    assert [statement.split()[0] for statement in statements] == ["INSERT"]


def test_another_backend_does_not_share_completions(path):
    store_run(path, REQUEST)
    other = Cache(path, {**IDENTITY, "base_url": "http://localhost:8000/v1"})
    assert other.get(other.key(REQUEST)) is None
    other.close()


def test_close_may_be_called_twice_and_keeps_the_counts(cache):
    cache.get(b"no")
    cache.close()
    cache.close()
    assert cache.misses == 1
    with pytest.raises(SeqitError):
        cache.get(b"no")


def test_only_the_user_may_read_it(cache, path):
    cache.put([(b"1", REQUEST, COMPLETION)])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.suffix: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys([".sqlite", ".sqlite-wal", ".sqlite-shm"], 0o600)


def test_messages_are_not_on_the_disk(path):
    store_run(path, REQUEST)
    content = path.read_bytes()
    assert b"Name a fish" not in content and b"Be brief" not in content
    assert b"A cod." in content


def test_the_default_path_follows_the_xdg_rules(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache_path() == Path("/home/u/.cache/seqit/completions.sqlite")
    monkeypatch.setenv("XDG_CACHE_HOME", "/big/cache")
    assert default_cache_path() == Path("/big/cache/seqit/completions.sqlite")


# --- kills, processes, threads ---


@pytest.mark.parametrize("run", range(3))
def test_what_was_put_survives_a_kill(path, run):
    """A process prints each key after `put` has returned, and is killed at a random time."""
    process = start_writer(path, 0, 1_000_000)
    wanted = random.Random(run).randint(1, 1500)
    printed = [process.stdout.readline().strip() for _ in range(wanted)]
    process.send_signal(signal.SIGKILL)
    printed += [line.strip() for line in process.stdout if len(line) == 65]
    process.stdout.close()
    process.wait()
    cache = Cache(path, IDENTITY)
    kept = [cache.get(bytes.fromhex(key)) for key in printed]
    cache.close()
    assert kept == [COMPLETION] * len(printed)
    report = overview(path)
    assert len(printed) <= report["completions"] <= len(printed) + 1  # one may be unprinted
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_several_processes_create_and_fill_one_cache_concurrently(path):
    """The ranges overlap: an entry of another process is a hit, or is not replaced."""
    processes = [start_writer(path, 75 * number, 150) for number in range(4)]
    printed = set()
    for process in processes:
        printed |= set(process.communicate()[0].split())
        assert process.returncode == 0
    report = overview(path)
    assert len(printed) == report["completions"] == 375
    assert sum(run["hits"] + run["misses"] for run in report["runs"]) == 600


def test_one_thread_gets_while_another_puts(cache):
    requests = [replace(REQUEST, seed=seed) for seed in range(2000)]
    keys = [cache.key(request) for request in requests]
    errors = []

    def put():
        try:
            for start in range(0, len(keys), 5):
                batch = slice(start, start + 1 + start % 5)
                for pair in zip(keys[batch], requests[batch], strict=True):
                    cache.put([(*pair, COMPLETION)])
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    while thread.is_alive():
        found = cache.get(random.choice(keys))
        assert found in (None, COMPLETION)
    thread.join()
    assert errors == []
    assert all(cache.get(key) == COMPLETION for key in keys[::5])


# --- errors ---


def check_message(path, match):
    with pytest.raises(SeqitError, match=match) as caught:
        Cache(path, IDENTITY)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_a_database_is_not_changed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("This is a letter, and no database at all.\n" * 50)
    check_message(path, "not an SQLite database; pass another file with --cache")
    assert path.read_text().startswith("This is a letter")


def test_another_program_s_database_is_not_changed(tmp_path):
    path = tmp_path / "other.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    before = path.read_bytes()
    check_message(path, "is a database, but not a completion cache")
    assert path.read_bytes() == before


def test_another_version_is_reported(path):
    store_run(path, REQUEST)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    check_message(path, "version 9, but this seqit reads version 1; remove it")


def test_a_damaged_file_is_reported(path):
    store_run(path, *[replace(REQUEST, seed=seed) for seed in range(200)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(SeqitError, match="is damaged; remove it"):
        store_run(path, REQUEST)


def test_a_path_that_is_not_a_file_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    check_message(tmp_path, "is not a file")
    check_message(Path("/dev/null"), "is not a file")
    with pytest.raises(SeqitError, match=r"file.*: (Not a directory|File exists)"):
        Cache(tmp_path / "file" / "c.sqlite", IDENTITY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_is_not_writable_is_reported_on_open(path):
    store_run(path, REQUEST)
    path.chmod(0o400)
    check_message(path, "is not writable")
    assert overview(path)["completions"] == 1


def test_a_full_disk_is_reported_and_nothing_is_half_written(cache, path):
    cache.put([(b"1", REQUEST, COMPLETION)])
    cache._connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(SeqitError, match="cannot grow: the disk is full"):
        cache.put([(b"2", REQUEST, replace(COMPLETION, text="long" * 100_000))])
    assert cache.get(b"2") is None
    assert cache.get(b"1") == COMPLETION


def test_a_disk_that_is_full_on_close_does_not_fail(path):
    cache = Cache(path, IDENTITY)
    cache.get(b"no")
    cache._connection.execute("PRAGMA query_only = 1")  # fails every write
    cache.close()
    assert overview(path)["runs"] == []


def test_a_cache_locked_by_another_process_is_waited_for(path, monkeypatch):
    store_run(path, REQUEST)
    monkeypatch.setattr(cache_store, "BUSY_TIMEOUT", 0.05)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    check_message(path, "was locked by another process")
    database.execute("ROLLBACK")
    database.close()
    Cache(path, IDENTITY).close()


# --- the command ---


def seqit_cache(path, *args, **kwargs):
    ran = CliRunner().invoke(command, [*args, "--cache", str(path)], **kwargs)
    return ran.exit_code, ran.output


def test_the_overview_counts_by_model_and_stage(path):
    store_run(path, REQUEST, replace(REQUEST, seed=8), replace(REQUEST, stage="classify", seed=9))
    store_run(path, REQUEST, REQUEST)
    report = overview(path)
    assert report["completions"] == 3
    assert [(g["name"], g["stage"], g["completions"]) for g in report["groups"]] == [
        ("openai:gpt-4o", "classify", 1),
        ("openai:gpt-4o", "respond", 2),
    ]
    assert (report["prompt_tokens"], report["completion_tokens"]) == (63, 12)
    assert [(run["hits"], run["misses"]) for run in report["runs"]] == [(2, 0), (0, 3)]
    code, out = seqit_cache(path)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["openai:gpt-4o", "respond", "2", "42", "8"] in lines
    assert ["all", "3", "63", "12"] in lines
    assert lines[-2][2:] == ["openai:gpt-4o", "2", "2", "100.0%"]
    assert json.loads(seqit_cache(path, "--json")[1]) == report


@pytest.mark.parametrize(
    ("change", "identity", "differs"),
    [
        ({"seed": 9}, {}, {"seed": [7, 9]}),
        ({}, {"base_url": "http://b/v1"}, {"base_url": [IDENTITY["base_url"], "http://b/v1"]}),
        ({}, {"template": "t"}, {"template": [None, "t"]}),
        (
            {"sampling": Sampling(temperature=None, top_k=5)},
            {"model": "gpt-5"},
            {
                "model": ["gpt-4o", "gpt-5"],
                "sampling.temperature": [1.0, None],
                "sampling.top_k": [None, 5],
            },
        ),
        ({"schema": {"type": "object"}}, {}, {"schema.properties.fish.type": ["string", None]}),
        ({"attempt": 1, "seed": 8}, {}, {"attempt": [0, 1], "seed": [7, 8]}),
    ],
    ids=str,
)
def test_why_names_the_part_that_differs(path, change, identity, differs):
    store_run(path, REQUEST)
    store_run(path, replace(REQUEST, **change), identity=IDENTITY | identity)
    [stage] = history(path, "3f09")["stages"]
    first, second = stage["requests"]
    assert "differs" not in first
    assert second["like"] == 1
    assert second["differs"] == differs


def test_why_compares_with_the_most_similar_request(path):
    text = [{"role": "user", "content": "Name a bird."}]
    store_run(path, REQUEST, replace(REQUEST, attempt=1, seed=8, messages=text))
    store_run(path, replace(REQUEST, messages=text))
    [stage] = history(path, "3f09")["stages"]
    assert stage["requests"][2]["like"] == 1
    assert list(stage["requests"][2]["differs"]) == ["messages"]


def test_why_as_text(path):
    store_run(path, REQUEST, replace(REQUEST, stage="classify"), replace(REQUEST, record_id="77"))
    text = [{"role": "user", "content": "Name a bird."}]
    sampling = Sampling(stop=("a" * 100,))
    store_run(path, replace(REQUEST, messages=text, sampling=sampling, attempt=1))
    code, out = seqit_cache(path, "why", "3f")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "record 3f09c1d2"
    assert lines[2] == "iteration 1, respond"
    assert lines[3].endswith("gpt-4o-2024-08-06  21 + 4 tokens  stop")
    assert lines[5:9] == [
        "differs from number 1 in",
        "attempt: 1 → 2",
        "messages: the text differs",
        f'sampling.stop: not given → ["{"a" * 58}…',
    ]
    assert json.loads(seqit_cache(path, "why", "3f", "--json")[1]) == history(path, "3f")


def test_why_wants_one_record(path):
    ids = ("12", "123", "13")
    store_run(path, *[replace(REQUEST, record_id=name, seed=int(name)) for name in ids])
    assert history(path, "12")["record_id"] == "12"
    assert seqit_cache(path, "why", "1") == (
        1,
        "cache: several record ids start with 1: 12, 123, 13; write more of the id\n",
    )
    code, out = seqit_cache(path, "why", "4")
    assert code == 1 and "whose id starts with 4" in out
    code, out = seqit_cache(path, "why")
    assert code == 2 and "name the record" in out


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ([], []),
        (["--model", "gpt-4o"], ["vllm:llama"]),
        (["--model", "openai:gpt-4o"], ["vllm:llama"]),
        (["--model", "llama-rev-7"], ["openai:gpt-4o"]),
        (["--model", "gpt"], ["openai:gpt-4o", "vllm:llama"]),
        (["--older-than", "30"], ["openai:gpt-4o"]),
        (["--older-than", "30", "--model", "gpt-4o"], ["openai:gpt-4o", "vllm:llama"]),
    ],
    ids=str,
)
def test_clear_removes_the_selected_completions(path, options, left):
    store_run(path, REQUEST)
    llama = {"kind": "vllm", "model": "llama"}
    store_run(path, REQUEST, identity=llama, completion=replace(COMPLETION, model="llama-rev-7"))
    database = sqlite3.connect(path)
    database.execute("UPDATE completions SET asked = asked - 40 * 86400 WHERE model LIKE 'llama%'")
    database.commit()
    database.close()
    code, out = seqit_cache(path, "clear", *options)
    assert code == 0
    assert [group["name"] for group in overview(path)["groups"]] == left
    removed = 2 - len(left)
    start = f"Removed {removed} completion" if removed else "There is nothing to remove"
    assert out.startswith(start)


def test_clear_frees_the_space_also_during_a_run(path):
    cache = Cache(path, IDENTITY)
    long = replace(COMPLETION, text="long" * 1000)
    cache.put([(b"%032d" % n, REQUEST, long) for n in range(500)])
    code, out = seqit_cache(path, "clear", "--json")
    report = json.loads(out)
    assert (code, report["removed"]) == (0, 500)
    assert report["bytes"] < 100_000 < 2_000_000 < report["bytes_before"]
    key = cache.key(REQUEST)
    cache.put([(key, REQUEST, COMPLETION)])  # the run goes on
    assert cache.get(key) == COMPLETION
    cache.close()
    assert [group["name"] for group in overview(path)["groups"]] == ["openai:gpt-4o"]


@pytest.mark.parametrize("content", [None, b""], ids=["absent", "empty"])
def test_a_missing_or_empty_cache_is_reported_in_one_line(path, content):
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    outputs = [seqit_cache(path), seqit_cache(path, "why", "3f"), seqit_cache(path, "clear")]
    assert [code for code, _ in outputs] == [0, 0, 0]
    assert all(len(out.splitlines()) == 1 and str(path) in out for _, out in outputs)
    assert path.exists() == (content is not None)
    assert json.loads(seqit_cache(path, "--json")[1])["completions"] == 0
    assert json.loads(seqit_cache(path, "why", "3f", "--json")[1])["stages"] == []


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["show", "3f"], "an ID is for seqit cache why"),
        (["clear", "3f"], "an ID is for seqit cache why"),
        (["why", "3f", "--older-than", "3"], "--older-than is for seqit cache clear"),
        (["--yes"], "--yes is for seqit cache clear"),
        (["lose"], "Invalid value"),
    ],
)
def test_options_of_another_action_are_refused(path, args, match):
    code, out = seqit_cache(path, *args)
    assert code == 2 and match in out


def test_the_file_may_be_set_by_the_environment(path):
    store_run(path, REQUEST)
    ran = CliRunner().invoke(command, [], env={"SEQIT_CACHE_CACHE": str(path)})
    assert ran.exit_code == 0 and ran.output.startswith(f"{path}: ")


def test_clear_returns_the_number_removed(path):
    store_run(path, REQUEST)
    assert clear(path, model="other") == 0
    assert clear(path) == 1
    assert clear(path) == 0
