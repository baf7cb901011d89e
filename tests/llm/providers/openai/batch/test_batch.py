"""The Batch API: submit, leave, come back, collect; against a real server on loopback."""

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
from seqit.llm.providers.openai.batch.requests import PendingRequests
from seqit.llm.providers.openai.batch.store import BatchPosition, BatchStore
from seqit.llm.providers.openai.batch.writing import write_batch
from seqit.llm.request import Completion, FailedRequest, Request, Sampling


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No variable of the machine's own decides a test."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-a-test")


def question(prompt, seed=1):
    return Request([{"role": "user", "content": prompt}], Sampling(max_new_tokens=9), seed)


def two_stages(prompt):
    """Ask, then ask about the answer."""
    first = yield question(prompt)
    if isinstance(first, FailedRequest):
        return first
    return (yield question(f"twice: {first.text}"))


def visit(backend, cache, works):
    """Run works as far as they come, as a dispatcher does; returns their results.

    Raises BatchPending where all that is left lies with the provider.
    """
    tickets, sent, inbox, results = count(), {}, [], {}

    def deliver(answers):
        cache.put(
            [
                (cache.key(sent[ticket][1]), sent[ticket][1], answer)
                for ticket, answer in answers
                if isinstance(answer, Completion)
            ]
        )
        inbox.extend(answers)

    def go_on(number, answer):
        try:
            while True:
                request = works[number].send(answer)
                answer = cache.get(cache.key(request))
                if answer is None:
                    ticket = next(tickets)
                    sent[ticket] = number, request
                    backend.submit([(ticket, request)])
                    return
        except StopIteration as end:
            results[number] = end.value

    backend.open(deliver)
    try:
        for number in range(len(works)):
            go_on(number, None)
        while len(results) < len(works):
            backend.wait(None)
            answers, inbox[:] = inbox[:], []
            for ticket, answer in answers:
                go_on(sent.pop(ticket)[0], answer)
        return [results[number] for number in range(len(works))]
    finally:
        backend.close()
        cache.close()


def one_stage(prompt):
    return (yield question(prompt))


class Visitor:
    """Somebody who runs the same command again and again."""

    def __init__(self, server, path, **options):
        self.server = server
        self.path = path
        self.options = {"settle": 0.0, "pauses": (0.01,), "base_url": server.url} | options
        self.told = []

    def come(self, prompts, work=one_stage, **options):
        options = self.options | {"tell": self.told.append} | options
        backend = OpenAIBatchBackend("a-model", cache=self.path, **options)
        works = [work(prompt) for prompt in prompts]
        return visit(backend, Cache(self.path, backend.identity()), works)

    def come_until_done(self, prompts, work=one_stage, most=12, **options):
        for _ in range(most):
            try:
                return self.come(prompts, work, **options)
            except BatchPending:
                pass
        raise AssertionError(f"still pending after {most} visits")

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
def visitor(server, tmp_path):
    return Visitor(server, tmp_path / "cache.sqlite")


def texts(answers):
    return [answer.text for answer in answers]


def expected(prompts):
    return [f"seed 1 answers: {prompt}" for prompt in prompts]


def test_submit_leave_come_back_collect(server, visitor):
    prompts = [f"row {number}" for number in range(30)]
    with pytest.raises(BatchPending, match=r"30 requests .* batch_1 .*run the same command again"):
        visitor.come(prompts, two_stages)
    with pytest.raises(BatchPending, match=r"30 requests .* batch_2 \(submitted\)"):
        visitor.come(prompts, two_stages)
    with pytest.raises(BatchPending, match=r"batch_2 \(in progress, 0 of 30\)"):
        visitor.come(prompts, two_stages)
    answers = visitor.come(prompts, two_stages)
    assert texts(answers) == expected(f"twice: {text}" for text in expected(prompts))
    assert [batch["requests"] for batch in server.stats()["batches"]] == [30, 30]
    assert not server.twice()
    assert visitor.rows("batch_requests") == visitor.rows("batches") == 0
    assert "submitted batch batch_1 with 30 requests" in visitor.told


def test_the_command_leaves_and_collects(server, tmp_path, seqit):
    seeds, out = tmp_path / "seeds.jsonl", tmp_path / "out.jsonl"
    rows = [{"instruction": f"Name river {n}.", "input": "", "output": "?"} for n in range(100)]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = tmp_path / "records.jsonl"
    assert seqit("import", "--format", "alpaca", seeds, "-o", records).code == 0
    command = ("augment", "--method", "regenerate", "--teacher", "openai:a-model", "--batch")
    env = {
        "OPENAI_API_KEY": "key-of-a-test",
        "OPENAI_BASE_URL": server.url,
        "SEQIT_AUGMENT_CACHE": str(tmp_path / "cache.sqlite"),
    }
    left = seqit(*command, records, "-o", out, **env)
    assert left.code not in (0, 3)
    assert "100 requests lie with" in left.err
    assert "batch_1 (in progress, 0 of 100)" in left.err
    assert not out.exists()
    collected = seqit(*command, records, "-o", out, **env)
    assert (collected.code, len(out.read_bytes().splitlines())) == (0, 100), collected.err
    assert len(server.stats()["batches"]) == 1


def test_waiting_needs_one_visit(server, visitor, monkeypatch):
    monkeypatch.setattr("seqit.llm.providers.openai.batch.backend.FIRST_LOOK", 0.01)
    answers = visitor.come(["a", "b"], two_stages, stay=True)
    assert texts(answers) == expected(["twice: seed 1 answers: a", "twice: seed 1 answers: b"])
    assert len(server.stats()["batches"]) == 2


def test_alike_requests_are_one_line(server, visitor):
    backend = OpenAIBatchBackend("a-model", cache=visitor.path, base_url=server.url)
    inbox = []
    for _ in range(2):
        backend.open(inbox.extend)
        backend.submit([(0, question("same")), (1, question("other"))])
        backend.submit([(2, question("same"))])
        try:
            while len(inbox) < 3:
                backend.wait(None)
        except BatchPending:
            backend.close()
            backend = OpenAIBatchBackend("a-model", cache=visitor.path, base_url=server.url)
    backend.close()
    assert {ticket: answer.text for ticket, answer in inbox} == dict(
        enumerate(expected(["same", "other", "same"]))
    )
    assert server.stats()["batches"][0]["requests"] == 2


def test_a_batch_holds_so_many_requests_and_bytes(server, visitor):
    with pytest.raises(BatchPending, match=r"batch_1.*batch_2.*batch_3"):
        visitor.come([f"row {n}" for n in range(10)], most_requests=4)
    assert [batch["requests"] for batch in server.stats()["batches"]] == [4, 4, 2]


def test_a_batch_is_written_up_to_its_bytes(tmp_path):
    requests = PendingRequests()
    for number, prompt in enumerate(["short", "x" * 900, "short too", "x" * 200, "y" * 200]):
        requests.ask(b"%d" % number, question(prompt), number)
    requests.fresh.extend(requests.new)
    asks = OpenAIBackend("a-model")
    written = []
    while requests.fresh:
        with (tmp_path / "batch.jsonl").open("w+b") as file:
            keys, failures = write_batch(requests, asks, file, most=9, most_bytes=900)
            written.append((keys, [(ticket, answer.reason) for ticket, answer in failures]))
            assert file.tell() <= 900
    assert written == [([b"0", b"2", b"3"], [(1, "too-long")]), ([b"4"], [])]


def test_a_bad_row_fails_alone_and_with_its_reason(server, visitor):
    prompts = ["fine", "bad [line:400]", "fine too", "ill [line:500]", "gone [line:missing]"]
    answers = visitor.come_until_done(prompts)
    assert texts([answers[0], answers[2]]) == expected(["fine", "fine too"])
    assert [(answers[n].reason, answers[n].retryable) for n in (1, 3, 4)] == [
        ("bad-request", False),
        ("server-error", False),
        ("server-error", False),
    ]
    assert "not to my liking" in answers[1].message
    assert answers[1].evidence["batch"] == "batch_1"
    assert "submitted 3 times" in answers[3].message
    assert sorted(server.stats()["lines"].values()) == [1, 1, 1, 3, 3]


def test_a_failure_is_remembered_to_the_end_of_the_run_and_no_longer(server, visitor):
    prompts = ["fine", "bad [line:400]"]
    for _ in range(3):
        with pytest.raises(BatchPending):
            visitor.come(prompts, two_stages)
    assert visitor.come(prompts, two_stages)[1].reason == "bad-request"
    assert set(server.stats()["lines"].values()) == {1}  # not asked again on each visit
    with pytest.raises(BatchPending, match="1 requests"):
        visitor.come(prompts, two_stages)  # another run: asked anew


def test_expired_requests_go_into_the_next_batch_and_done_ones_are_used(server, visitor):
    prompts = ["in time", "late [line:expired*1]", "later [line:expired*2]"]
    answers = visitor.come_until_done(prompts)
    assert texts(answers) == expected(prompts)
    assert [batch["requests"] for batch in server.stats()["batches"]] == [3, 2, 1]


def test_what_always_expires_fails_in_the_end(server, visitor):
    (answer,) = visitor.come_until_done(["late [line:expired]"])
    assert (answer.reason, answer.retryable) == ("timeout", False)
    assert len(server.stats()["batches"]) == 3


def test_an_invalid_line_does_not_take_the_batch_with_it(server, visitor):
    prompts = ["one", "two [line:invalid]", "three", "four"]
    answers = visitor.come_until_done(prompts)
    assert answers[1].reason == "bad-request"
    assert "The line is invalid" in answers[1].message
    del answers[1]
    assert texts(answers) == expected(["one", "three", "four"])
    assert not server.twice()


def test_a_cut_completion_is_delivered_as_such(visitor):
    (answer,) = visitor.come_until_done(["long [line:length]"])
    assert answer.finish_reason == "length"
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 5)


def test_smaller_batches_one_by_one_where_the_queue_is_full(visitor):
    visitor.server.call("/options", {"queue": 3})
    prompts = [f"row {number}" for number in range(8)]
    answers = visitor.come_until_done(prompts, most=20)
    assert texts(answers) == expected(prompts)
    stats = visitor.server.stats()
    assert [b["requests"] for b in stats["batches"] if b["status"] == "failed"] == [8, 4]
    assert [b["requests"] for b in stats["batches"] if b["status"] == "completed"] == [2, 2, 2, 2]
    assert visitor.rows("batches") == 0  # another run may find more room


def test_one_request_that_finds_no_room_fails(visitor):
    visitor.server.call("/options", {"queue": 1})
    with pytest.raises(BatchPending):
        visitor.come(["a"])
    with pytest.raises(BatchPending):
        Visitor(visitor.server, visitor.path.with_name("other.sqlite")).come(["b"])
    other = Visitor(visitor.server, visitor.path.with_name("other.sqlite"))
    (answer,) = other.come(["b"])
    assert answer.reason == "rate-limited"
    assert "Enqueued token limit" in answer.message


def test_a_batch_refused_as_a_whole_ends_the_run_until_it_is_mended(visitor):
    visitor.server.call("/options", {"refuse": "The model does not exist"})
    with pytest.raises(BatchPending):
        visitor.come(["a", "b"])
    answers = visitor.come(["a", "b"])
    assert {(answer.reason, answer.fatal) for answer in answers} == {("config", True)}
    assert "The model does not exist" in answers[0].message
    visitor.server.call("/options", {"refuse": ""})
    assert texts(visitor.come_until_done(["a", "b"])) == expected(["a", "b"])


def test_lines_refused_for_the_key_end_the_run_until_it_is_mended(visitor):
    prompts = ["fine", "no key [line:401*1]", "fine too"]
    with pytest.raises(BatchPending):
        visitor.come(prompts)
    answers = visitor.come(prompts)
    assert [isinstance(answer, Completion) for answer in answers] == [True, False, True]
    assert answers[1].fatal
    assert texts(visitor.come_until_done(prompts)) == expected(prompts)


def test_deleted_batches_and_files_are_asked_anew(server, visitor):
    with pytest.raises(BatchPending):
        visitor.come(["a"])
    server.call("/forget", {})
    assert texts(visitor.come_until_done(["a"])) == expected(["a"])
    assert [batch["id"] for batch in server.stats()["batches"]] == ["batch_2"]


@pytest.mark.parametrize(
    "fault",
    [
        *("upload-503-before", "upload-503-after", "create-503-before", "create-503-after"),
        *("create-cut", "list-503-before", "look-503-before", "content-503-before", "content-cut"),
    ],
)
def test_troubles_of_the_connection_submit_nothing_twice(server, visitor, fault):
    server.reset(faults=[fault, "create-503-after"])
    prompts = [f"row {number}" for number in range(50)]
    assert texts(visitor.come_until_done(prompts, two_stages)) == expected(
        f"twice: {text}" for text in expected(prompts)
    )
    assert not server.twice()
    assert len(server.stats()["batches"]) == 2


@pytest.mark.parametrize("metadata", [True, False])
def test_a_batch_is_found_among_others_by_metadata_or_file(server, visitor, metadata):
    server.reset(page=2, metadata=metadata, faults=["create-503-after"])
    with pytest.raises(BatchPending):
        visitor.come(["a", "b", "c", "d", "e"], most_requests=1)
    assert texts(visitor.come_until_done(["a", "b", "c", "d", "e"])) == expected("abcde")
    assert not server.twice()
    assert len(server.stats()["batches"]) == 5


def test_a_provider_that_does_not_answer_is_an_error_and_loses_nothing(visitor):
    with pytest.raises(BatchPending):
        visitor.come(["a"])
    down = Visitor(visitor.server, visitor.path, pauses=())
    visitor.server.call("/options", {"faults": ["look-503-before"]})
    with pytest.raises(SeqitError, match=r"/batches/batch_1: the server answered 503: Busy"):
        down.come(["a"])
    assert texts(visitor.come_until_done(["a"])) == expected(["a"])
    assert not visitor.server.twice()


def test_a_wrong_key_is_said_and_leaves_nothing_behind(visitor, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    with pytest.raises(SeqitError, match=r"a batch of 1 requests was refused.*OPENAI_API_KEY"):
        visitor.come(["a"])
    assert visitor.rows("batch_requests") == visitor.rows("batches") == 0


def test_what_is_kept_lies_nowhere_also_after_a_kill(visitor):
    ledger = BatchStore(visitor.path, "a-url", "a-model")
    cache = Cache(visitor.path, {})
    asked = question("kept"), question("not kept")
    kept, other = map(cache.key, asked)
    ledger.plan([(kept, 1), (other, 1)])
    cache.put([(kept, asked[0], Completion("yes", "stop"))])
    cache.close()
    again = BatchStore(visitor.path, "a-url", "a-model")  # the first was never closed
    assert again.place(kept) is None
    assert again.place(other) == BatchPosition(1, 2, 1)
    again.close()
    ledger.close()


def forked(act):
    """Run something in a process of its own; returns its id."""
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


def killed_while_held(server, visitor, prompts):
    """Begin a visit, and kill it once the server holds up one of its calls."""
    process = forked(lambda: visitor.come(prompts, two_stages))
    assert server.call("/held") == {"held": True}
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", ["upload", "create", "list", "look", "content"])
def test_killed_at_any_moment_no_request_is_submitted_twice(server, visitor, at, when):
    """The call is under way, or done and not answered, when the visitor is killed."""
    server.reset(looks=1, faults=["create-503-before"] if at == "list" else [])
    visitor.options["settle"] = 0.5
    prompts = [f"row {row}" for row in range(20)]
    server.call("/hold", {"at": at, "when": when})
    killed_while_held(server, visitor, prompts)
    server.call("/release", {})
    answers = visitor.come_until_done(prompts, two_stages)
    assert texts(answers) == expected(f"twice: {text}" for text in expected(prompts))
    assert not server.twice()
    assert len(server.stats()["lines"]) == 40


def test_a_batch_that_arrives_after_the_kill_is_found(server, visitor):
    """The visitor dies while the provider is still about to create the batch."""
    server.reset(page=1)
    visitor.options["settle"] = 30
    server.call("/hold", {"at": "create", "when": "before"})
    killed_while_held(server, visitor, ["a", "b"])
    process = forked(lambda: visitor.come(["a", "b"], two_stages))
    while not server.stats()["calls"].get("list"):
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
    server.call("/release", {})
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 75
    assert visitor.come_until_done(["a", "b"], two_stages)
    assert not server.twice()


def test_what_another_run_has_collected_meanwhile_is_not_submitted(server, visitor):
    with pytest.raises(BatchPending):
        visitor.come(["a"])
    inbox = []
    late = OpenAIBatchBackend("a-model", cache=visitor.path, base_url=server.url)
    late.open(inbox.extend)
    late.submit([(7, question("a"))])
    visitor.come(["a"])
    late.wait(None)
    late.close()
    assert [(ticket, answer.text) for ticket, answer in inbox] == [(7, "seed 1 answers: a")]
    assert not server.twice()


def test_runs_side_by_side_share_the_batches(server, visitor):
    server.reset(looks=1)
    prompts = [f"row {row}" for row in range(20)]
    server.call("/hold", {"at": "upload", "when": "before"})
    runs = [forked(lambda: visitor.come(prompts, two_stages)) for _ in range(2)]
    server.call("/held")
    server.call("/release", {})
    codes = {os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) for run in runs}
    assert codes <= {0, 75}
    assert visitor.come_until_done(prompts, two_stages)
    assert not server.twice()
