"""The Batch API: submit, exit, run again, collect; against a real server on loopback."""

import json
import os
import signal
import sqlite3
import traceback
from itertools import count

import pytest
from support.batch_server import BatchServer

from seqit.errors import SeqitError
from seqit.llm.cache.cache import Cache
from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.backend import BatchPending, OpenAIBatchBackend
from seqit.llm.providers.openai.batch.pending import PendingRequests
from seqit.llm.providers.openai.batch.request_file import write_batch
from seqit.llm.providers.openai.batch.store import BatchPosition, BatchStore
from seqit.llm.request import Completion, FailedRequest, Request, Sampling


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove environment variables that could change a test."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-a-test")


def make_request(prompt, seed=1):
    return Request([{"role": "user", "content": prompt}], Sampling(max_new_tokens=9), seed)


def two_stages(prompt):
    """Make a request, then one about its completion."""
    first = yield make_request(prompt)
    if isinstance(first, FailedRequest):
        return first
    return (yield make_request(f"twice: {first.text}"))


def run_calls(backend, cache, calls):
    """Run calls as far as possible, as a scheduler does; returns their results.

    Raises BatchPending if all open requests are in batches at the provider.
    """
    tickets, sent, inbox, results = count(), {}, [], {}

    def deliver(outcomes):
        cache.put(
            [
                (cache.key(sent[ticket][1]), sent[ticket][1], outcome)
                for ticket, outcome in outcomes
                if isinstance(outcome, Completion)
            ]
        )
        inbox.extend(outcomes)

    def advance(number, outcome):
        try:
            while True:
                request = calls[number].send(outcome)
                outcome = cache.get(cache.key(request))
                if outcome is None:
                    ticket = next(tickets)
                    sent[ticket] = number, request
                    backend.submit([(ticket, request)])
                    return
        except StopIteration as end:
            results[number] = end.value

    backend.open(deliver)
    try:
        for number in range(len(calls)):
            advance(number, None)
        while len(results) < len(calls):
            backend.wait(None)
            outcomes, inbox[:] = inbox[:], []
            for ticket, outcome in outcomes:
                advance(sent.pop(ticket)[0], outcome)
        return [results[number] for number in range(len(calls))]
    finally:
        backend.close()
        cache.close()


def one_stage(prompt):
    return (yield make_request(prompt))


class BatchCommand:
    """A command with its cache, which can be run repeatedly."""

    def __init__(self, server, path, **options):
        self.server = server
        self.path = path
        self.options = {"listing_delay": 0.0, "pauses": (0.01,), "base_url": server.url} | options
        self.messages = []

    def run(self, prompts, make_call=one_stage, **options):
        options = self.options | {"notify": self.messages.append} | options
        backend = OpenAIBatchBackend("a-model", cache=self.path, **options)
        calls = [make_call(prompt) for prompt in prompts]
        return run_calls(backend, Cache(self.path, backend.identity()), calls)

    def run_until_done(self, prompts, make_call=one_stage, max_runs=12, **options):
        for _ in range(max_runs):
            try:
                return self.run(prompts, make_call, **options)
            except BatchPending:
                pass
        raise AssertionError(f"still pending after {max_runs} runs")

    def rows(self, table):
        with sqlite3.connect(self.path) as db:
            found = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        db.close()
        return found


@pytest.fixture(scope="module")
def process():
    with BatchServer() as running:
        yield running


@pytest.fixture
def server(process):
    process.reset()
    return process


@pytest.fixture
def command(server, tmp_path):
    return BatchCommand(server, tmp_path / "cache.sqlite")


def texts(outcomes):
    return [outcome.text for outcome in outcomes]


def expected(prompts):
    return [f"seed 1 answers: {prompt}" for prompt in prompts]


def test_submit_exit_and_collect_in_later_runs(server, command):
    prompts = [f"row {number}" for number in range(30)]
    with pytest.raises(BatchPending, match=r"30 requests .* batch_1 .*run the same command again"):
        command.run(prompts, two_stages)
    with pytest.raises(BatchPending, match=r"30 requests .* batch_2 \(submitted\)"):
        command.run(prompts, two_stages)
    with pytest.raises(BatchPending, match=r"batch_2 \(in progress, 0 of 30\)"):
        command.run(prompts, two_stages)
    outcomes = command.run(prompts, two_stages)
    assert texts(outcomes) == expected(f"twice: {text}" for text in expected(prompts))
    assert [batch["requests"] for batch in server.stats()["batches"]] == [30, 30]
    assert not server.submitted_twice()
    assert command.rows("batch_requests") == command.rows("batches") == 0
    assert "submitted batch batch_1 with 30 requests" in command.messages


def test_the_command_exits_and_collects_when_run_again(server, tmp_path, seqit):
    seeds, out = tmp_path / "seeds.jsonl", tmp_path / "out.jsonl"
    rows = [{"instruction": f"Name river {n}.", "input": "", "output": "?"} for n in range(100)]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = tmp_path / "records.jsonl"
    assert seqit("import", "--format", "alpaca", seeds, "-o", records).code == 0
    command = ("augment", "--method", "regenerate", "--teacher", "openai:a-model", "--batch-api")
    env = {
        "OPENAI_API_KEY": "key-of-a-test",
        "OPENAI_BASE_URL": server.url,
        "SEQIT_AUGMENT_CACHE": str(tmp_path / "cache.sqlite"),
    }
    left = seqit(*command, records, "-o", out, **env)
    assert left.code not in (0, 3)
    assert "100 requests are in batches at" in left.err
    assert "batch_1 (in progress, 0 of 100)" in left.err
    assert not out.exists()
    collected = seqit(*command, records, "-o", out, **env)
    assert (collected.code, len(out.read_bytes().splitlines())) == (0, 100), collected.err
    assert len(server.stats()["batches"]) == 1


def test_blocking_needs_one_run(server, command, monkeypatch):
    monkeypatch.setattr("seqit.llm.providers.openai.batch.backend.FIRST_INTERVAL", 0.01)
    outcomes = command.run(["a", "b"], two_stages, block=True)
    assert texts(outcomes) == expected(["twice: seed 1 answers: a", "twice: seed 1 answers: b"])
    assert len(server.stats()["batches"]) == 2


def test_equal_requests_are_one_line(server, command):
    backend = OpenAIBatchBackend("a-model", cache=command.path, base_url=server.url)
    inbox = []
    for _ in range(2):
        backend.open(inbox.extend)
        backend.submit([(0, make_request("same")), (1, make_request("other"))])
        backend.submit([(2, make_request("same"))])
        try:
            while len(inbox) < 3:
                backend.wait(None)
        except BatchPending:
            backend.close()
            backend = OpenAIBatchBackend("a-model", cache=command.path, base_url=server.url)
    backend.close()
    assert {ticket: outcome.text for ticket, outcome in inbox} == dict(
        enumerate(expected(["same", "other", "same"]))
    )
    assert server.stats()["batches"][0]["requests"] == 2


def test_the_number_of_requests_in_a_batch_is_limited(server, command):
    with pytest.raises(BatchPending, match=r"batch_1.*batch_2.*batch_3"):
        command.run([f"row {n}" for n in range(10)], max_requests=4)
    assert [batch["requests"] for batch in server.stats()["batches"]] == [4, 4, 2]


def test_the_bytes_of_a_batch_are_limited(tmp_path):
    requests = PendingRequests()
    for number, prompt in enumerate(["short", "x" * 900, "short too", "x" * 200, "y" * 200]):
        requests.add(b"%d" % number, make_request(prompt), number)
    requests.unsubmitted.extend(requests.new)
    backend = OpenAIBackend("a-model")
    written = []
    while requests.unsubmitted:
        with (tmp_path / "batch.jsonl").open("w+b") as file:
            keys, failures = write_batch(requests, backend, file, max_requests=9, max_bytes=900)
            written.append((keys, [(ticket, outcome.reason) for ticket, outcome in failures]))
            assert file.tell() <= 900
    assert written == [([b"0", b"2", b"3"], [(1, "too-long")]), ([b"4"], [])]


def test_a_bad_row_fails_alone_and_with_its_reason(server, command):
    prompts = ["fine", "bad [line:400]", "fine too", "ill [line:500]", "gone [line:missing]"]
    outcomes = command.run_until_done(prompts)
    assert texts([outcomes[0], outcomes[2]]) == expected(["fine", "fine too"])
    assert [(outcomes[n].reason, outcomes[n].retryable) for n in (1, 3, 4)] == [
        ("bad-request", False),
        ("server-error", False),
        ("server-error", False),
    ]
    assert "not to my liking" in outcomes[1].message
    assert outcomes[1].evidence["batch"] == "batch_1"
    assert "submitted 3 times" in outcomes[3].message
    assert sorted(server.stats()["lines"].values()) == [1, 1, 1, 3, 3]


def test_a_failure_is_remembered_to_the_end_of_the_run_and_no_longer(server, command):
    prompts = ["fine", "bad [line:400]"]
    for _ in range(3):
        with pytest.raises(BatchPending):
            command.run(prompts, two_stages)
    assert command.run(prompts, two_stages)[1].reason == "bad-request"
    assert set(server.stats()["lines"].values()) == {1}  # not submitted again in each run
    with pytest.raises(BatchPending, match="1 requests"):
        command.run(prompts, two_stages)  # another run: submitted again


def test_expired_requests_are_submitted_again_and_finished_ones_are_used(server, command):
    prompts = ["in time", "late [line:expired*1]", "later [line:expired*2]"]
    outcomes = command.run_until_done(prompts)
    assert texts(outcomes) == expected(prompts)
    assert [batch["requests"] for batch in server.stats()["batches"]] == [3, 2, 1]


def test_a_request_that_always_expires_fails_in_the_end(server, command):
    (outcome,) = command.run_until_done(["late [line:expired]"])
    assert (outcome.reason, outcome.retryable) == ("timeout", False)
    assert len(server.stats()["batches"]) == 3


def test_an_invalid_line_does_not_fail_the_batch(server, command):
    prompts = ["one", "two [line:invalid]", "three", "four"]
    outcomes = command.run_until_done(prompts)
    assert outcomes[1].reason == "bad-request"
    assert "The line is invalid" in outcomes[1].message
    del outcomes[1]
    assert texts(outcomes) == expected(["one", "three", "four"])
    assert not server.submitted_twice()


def test_a_truncated_completion_is_delivered_as_such(command):
    (outcome,) = command.run_until_done(["long [line:length]"])
    assert outcome.finish_reason == "length"
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (7, 5)


def test_smaller_batches_one_by_one_if_the_queue_is_full(command):
    command.server.call("/options", {"queue": 3})
    prompts = [f"row {number}" for number in range(8)]
    outcomes = command.run_until_done(prompts, max_runs=20)
    assert texts(outcomes) == expected(prompts)
    stats = command.server.stats()
    assert [b["requests"] for b in stats["batches"] if b["status"] == "failed"] == [8, 4]
    assert [b["requests"] for b in stats["batches"] if b["status"] == "completed"] == [2, 2, 2, 2]
    assert command.rows("batches") == 0  # another run may find more room


def test_one_request_without_room_in_the_queue_fails(command):
    command.server.call("/options", {"queue": 1})
    with pytest.raises(BatchPending):
        command.run(["a"])
    with pytest.raises(BatchPending):
        BatchCommand(command.server, command.path.with_name("other.sqlite")).run(["b"])
    other = BatchCommand(command.server, command.path.with_name("other.sqlite"))
    (outcome,) = other.run(["b"])
    assert outcome.reason == "rate-limited"
    assert "Enqueued token limit" in outcome.message


def test_a_refused_batch_ends_the_run_until_the_cause_is_fixed(command):
    command.server.call("/options", {"refuse": "The model does not exist"})
    with pytest.raises(BatchPending):
        command.run(["a", "b"])
    outcomes = command.run(["a", "b"])
    assert {(outcome.reason, outcome.fatal) for outcome in outcomes} == {("config", True)}
    assert "The model does not exist" in outcomes[0].message
    command.server.call("/options", {"refuse": ""})
    assert texts(command.run_until_done(["a", "b"])) == expected(["a", "b"])


def test_lines_refused_for_the_key_end_the_run_until_it_is_fixed(command):
    prompts = ["fine", "no key [line:401*1]", "fine too"]
    with pytest.raises(BatchPending):
        command.run(prompts)
    outcomes = command.run(prompts)
    assert [isinstance(outcome, Completion) for outcome in outcomes] == [True, False, True]
    assert outcomes[1].fatal
    assert texts(command.run_until_done(prompts)) == expected(prompts)


def test_requests_of_deleted_batches_are_submitted_again(server, command):
    with pytest.raises(BatchPending):
        command.run(["a"])
    server.call("/forget", {})
    assert texts(command.run_until_done(["a"])) == expected(["a"])
    assert [batch["id"] for batch in server.stats()["batches"]] == ["batch_2"]


@pytest.mark.parametrize(
    "fault",
    [
        *("upload-503-before", "upload-503-after", "create-503-before", "create-503-after"),
        *("create-cut", "list-503-before", "poll-503-before", "content-503-before", "content-cut"),
    ],
)
def test_connection_errors_submit_nothing_twice(server, command, fault):
    server.reset(faults=[fault, "create-503-after"])
    prompts = [f"row {number}" for number in range(50)]
    assert texts(command.run_until_done(prompts, two_stages)) == expected(
        f"twice: {text}" for text in expected(prompts)
    )
    assert not server.submitted_twice()
    assert len(server.stats()["batches"]) == 2


@pytest.mark.parametrize("metadata", [True, False])
def test_a_batch_is_found_among_others_by_metadata_or_file(server, command, metadata):
    server.reset(page=2, metadata=metadata, faults=["create-503-after"])
    with pytest.raises(BatchPending):
        command.run(["a", "b", "c", "d", "e"], max_requests=1)
    assert texts(command.run_until_done(["a", "b", "c", "d", "e"])) == expected("abcde")
    assert not server.submitted_twice()
    assert len(server.stats()["batches"]) == 5


def test_a_provider_that_does_not_respond_is_an_error_and_loses_nothing(command):
    with pytest.raises(BatchPending):
        command.run(["a"])
    down = BatchCommand(command.server, command.path, pauses=())
    command.server.call("/options", {"faults": ["poll-503-before"]})
    with pytest.raises(SeqitError, match=r"/batches/batch_1: the server answered 503: Busy"):
        down.run(["a"])
    assert texts(command.run_until_done(["a"])) == expected(["a"])
    assert not command.server.submitted_twice()


def test_a_wrong_key_is_reported_and_leaves_nothing_behind(command, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    with pytest.raises(SeqitError, match=r"a batch of 1 requests was refused.*OPENAI_API_KEY"):
        command.run(["a"])
    assert command.rows("batch_requests") == command.rows("batches") == 0


def test_cached_requests_have_no_position_also_after_a_kill(command):
    store = BatchStore(command.path, "a-url", "a-model")
    cache = Cache(command.path, {})
    requests = make_request("kept"), make_request("not kept")
    kept, other = map(cache.key, requests)
    store.plan([(kept, 1), (other, 1)])
    cache.put([(kept, requests[0], Completion("yes", "stop"))])
    cache.close()
    again = BatchStore(command.path, "a-url", "a-model")  # the first was never closed
    assert again.position(kept) is None
    assert again.position(other) == BatchPosition(1, 2, 1)
    again.close()
    store.close()


def fork(act):
    """Run `act` in a forked process; returns its id."""
    process = os.fork()
    if process == 0:
        try:
            act()
        except BatchPending:
            os._exit(75)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def kill_while_held(server, command, prompts):
    """Start a run, and kill it once the server holds one of its calls."""
    process = fork(lambda: command.run(prompts, two_stages))
    assert server.call("/held") == {"held": True}
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", ["upload", "create", "list", "poll", "content"])
def test_killed_at_any_moment_no_request_is_submitted_twice(server, command, at, when):
    """The kill comes during the call, or after it and before the response."""
    server.reset(polls=1, faults=["create-503-before"] if at == "list" else [])
    command.options["listing_delay"] = 0.5
    prompts = [f"row {row}" for row in range(20)]
    server.call("/hold", {"at": at, "when": when})
    kill_while_held(server, command, prompts)
    server.call("/release", {})
    outcomes = command.run_until_done(prompts, two_stages)
    assert texts(outcomes) == expected(f"twice: {text}" for text in expected(prompts))
    assert not server.submitted_twice()
    assert len(server.stats()["lines"]) == 40


def test_a_batch_that_arrives_after_the_kill_is_found(server, command):
    """The run is killed before the provider creates the batch."""
    server.reset(page=1)
    command.options["listing_delay"] = 30
    server.call("/hold", {"at": "create", "when": "before"})
    kill_while_held(server, command, ["a", "b"])
    process = fork(lambda: command.run(["a", "b"], two_stages))
    while not server.stats()["calls"].get("list"):
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
    server.call("/release", {})
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 75
    assert command.run_until_done(["a", "b"], two_stages)
    assert not server.submitted_twice()


def test_requests_collected_by_another_run_are_not_submitted(server, command):
    with pytest.raises(BatchPending):
        command.run(["a"])
    inbox = []
    late = OpenAIBatchBackend("a-model", cache=command.path, base_url=server.url)
    late.open(inbox.extend)
    late.submit([(7, make_request("a"))])
    command.run(["a"])
    late.wait(None)
    late.close()
    assert [(ticket, outcome.text) for ticket, outcome in inbox] == [(7, "seed 1 answers: a")]
    assert not server.submitted_twice()


def test_concurrent_runs_share_the_batches(server, command):
    server.reset(polls=1)
    prompts = [f"row {row}" for row in range(20)]
    server.call("/hold", {"at": "upload", "when": "before"})
    runs = [fork(lambda: command.run(prompts, two_stages)) for _ in range(2)]
    server.call("/held")
    server.call("/release", {})
    codes = {os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) for run in runs}
    assert codes <= {0, 75}
    assert command.run_until_done(prompts, two_stages)
    assert not server.submitted_twice()
