"""The dispatcher: order, pairing, retries, limits, and what a killed run leaves behind."""

import os
import threading
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_backend import FakeBackend

from seqit.errors import SeqitError
from seqit.llm.cache.cache import Cache
from seqit.llm.model_call import CompletionFailed, ParseError, complete_with_retries
from seqit.llm.request import Completion, FailedRequest, Request, Sampling
from seqit.llm.scheduling.budget import Budget
from seqit.llm.scheduling.rate_limit import RateLimiter
from seqit.llm.scheduling.scheduler import Scheduler
from seqit.llm.scheduling.sender import MOST_LOST, Sender


def scheduler(backend, cache=None, concurrency=8, window=32, budget=None, **more):
    if cache:
        cache = Cache(cache, backend.identity())
    more = {"retries": 3} | more
    sender = Sender(
        backend, cache=cache, pace=RateLimiter(concurrency), budget=budget or Budget(), **more
    )
    return Scheduler(sender, window)


def question(text, stage="ask"):
    return Request([{"role": "user", "content": text}], Sampling(), 0, record_id=text, stage=stage)


def work_of(stages=2, read=str):
    """A work of some stages, each of which asks for what the last one said."""

    def work(text):
        said = str(text)
        for number in range(stages):
            said = yield from complete_with_retries(question(said, f"stage{number}"), 7, read)
        return said

    return work


def echo(request):
    return f"<{request.messages[-1]['content']}>"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=40),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_whatever_the_order_of_answers_each_item_gets_its_own(
    items, lot, each, concurrency, window
):
    backend = FakeBackend(echo, each=each, choose=lambda waiting: lot.randrange(len(waiting)))
    with scheduler(backend, concurrency=concurrency, window=window) as running:
        results = list(running.run(items, work_of()))
    assert results == [(item, f"<<{item}>>") for item in items]
    assert backend.most <= concurrency


def test_a_work_that_has_begun_comes_to_its_end_before_others_begin():
    backend = FakeBackend(echo)
    with scheduler(backend, concurrency=2, window=20) as running:
        results = list(running.run("abcdefghijkl", work_of(stages=3)))
    assert len(results) == 12
    asked = [request.messages[-1]["content"] for request in backend.asked]
    for first, later in zip("abcdefghi", "defghijkl", strict=True):
        assert asked.index(f"<<{first}>>") < asked.index(later)


def test_items_that_ask_alike_are_asked_once_while_the_answer_is_under_way():
    backend = FakeBackend(echo, each=100)
    with scheduler(backend, concurrency=100, window=100) as running:
        results = list(running.run(["a"] * 50 + ["b"], work_of(stages=1)))
    assert results == [("a", "<a>")] * 50 + [("b", "<b>")]
    assert len(backend.asked) == 2


def test_a_failure_that_passes_is_tried_again_and_one_that_stays_fails_alone(monkeypatch):
    monkeypatch.setattr("seqit.llm.scheduling.sender.backoff", lambda *_: 0.001)
    times = Counter()

    def reply(request):
        text = request.messages[-1]["content"]
        times[text] += 1
        if text == "poison" or times[text] < 3:
            return FailedRequest("server-error", "the server had an error", retryable=True)
        return echo(request)

    items = ["a", "poison", "b"]
    with scheduler(FakeBackend(reply)) as running:
        results = dict(running.run(items, work_of(stages=1)))
    assert (results["a"], results["b"]) == ("<a>", "<b>")
    assert (results["poison"].reason, times["poison"]) == ("server-error", 4)
    assert running.progress.retries == 2 + 3 + 2


def test_a_failure_that_does_not_pass_is_not_tried_again():
    backend = FakeBackend(lambda request: FailedRequest("too-long", "the prompt is too long"))
    with scheduler(backend) as running:
        [(_, failure)] = running.run(["a"], work_of())
    assert (failure.reason, failure.stage, len(backend.asked)) == ("too-long", "stage0", 1)


def test_a_failure_that_meets_all_ends_the_run():
    backend = FakeBackend(lambda request: FailedRequest("config", "the key is wrong", fatal=True))
    with scheduler(backend) as running, pytest.raises(SeqitError, match="the key is wrong"):
        list(running.run("abc", work_of()))


def test_a_server_that_is_gone_ends_the_run_and_does_not_fail_all_rows():
    backend = FakeBackend(
        lambda request: FailedRequest("connection", "no connection", retryable=True)
    )
    done = []
    with scheduler(backend, retries=0) as running, pytest.raises(SeqitError, match="goes on"):
        done += running.run(map(str, range(10_000)), work_of())
    assert len(done) < MOST_LOST


def test_the_reader_is_held_back_by_the_window():
    read = []

    def items():
        for number in range(1000):
            read.append(number)
            yield str(number)

    never = FakeBackend(lambda request: None if request.record_id == "0" else echo(request))
    never.wake = lambda: None  # the wait below ends by its time alone
    with scheduler(never, window=16) as running:
        run = running.run(items(), work_of(stages=1))
        threading.Thread(target=lambda: next(run, None), daemon=True).start()
        deadline = time.monotonic() + 5
        while len(read) < 16 + 64 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(read) <= 16 + 64 + 2


def test_what_is_done_comes_out_while_the_source_waits():
    source, end = os.pipe()

    def items():
        with os.fdopen(source) as lines:
            yield from (line.strip() for line in lines)

    with scheduler(FakeBackend(echo)) as running, os.fdopen(end, "w", buffering=1) as writer:
        run = running.run(items(), work_of())
        writer.write("a\n")
        assert next(run) == ("a", "<<a>>")
        writer.write("b\n")
        assert next(run) == ("b", "<<b>>")
        writer.close()
        assert list(run) == []


def test_an_error_of_the_source_comes_after_the_items_before_it():
    def items():
        yield "a"
        raise SeqitError("the source is broken")

    with scheduler(FakeBackend(echo)) as running:
        run = running.run(items(), work_of())
        assert next(run) == ("a", "<<a>>")
        with pytest.raises(SeqitError, match="broken"):
            next(run)


def test_flushing_comes_before_waiting():
    told = []
    with scheduler(FakeBackend(echo)) as running:
        running.before_wait = lambda: told.append("flush")
        told += running.run("ab", work_of())
    assert told[0] == "flush"


class TestCache:
    def test_the_second_run_asks_nothing(self, tmp_path):
        first, second = FakeBackend(echo), FakeBackend(lambda request: "something else")
        for backend in (first, second):
            with scheduler(backend, tmp_path / "c") as running:
                assert list(running.run("abc", work_of())) == [(x, f"<<{x}>>") for x in "abc"]
        assert (len(first.asked), len(second.asked)) == (6, 0)
        assert running.progress.cached == 6

    def test_attempts_that_led_to_an_answer_are_played_again(self, tmp_path):
        def read(text):
            if text == "<a>":
                raise ParseError("it is not what was asked for")
            return "read"

        for asked in (2, 0):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c") as running:
                assert list(running.run("a", work_of(1, read))) == [("a", "read")]
            assert len(backend.asked) == asked

    def test_attempts_that_led_to_nothing_are_made_anew_by_the_next_run(self, tmp_path):
        def read(text):
            raise ParseError("it is not what was asked for")

        for _ in range(2):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c") as running:
                [(_, failure)] = running.run("a", work_of(1, read))
            assert (failure.reason, len(backend.asked)) == ("unparseable", 3)

    def test_a_run_that_broke_off_keeps_even_those(self, tmp_path):
        def read(text):
            if text.startswith(("<a", "<That")):
                raise ParseError("it is not what was asked for")
            return text

        for rows, asked in ((3, 3 + 1 + 1), (4, 1)):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c", concurrency=1, window=1) as running:
                run = running.run("abcd", work_of(1, read))
                results = [next(run) for _ in range(rows)]
                run.close()  # as a kill would end it: nothing is tidied up
            assert results[0][1].reason == "unparseable"
            assert len(backend.asked) == asked

    def test_failures_are_never_kept(self, tmp_path):
        backend = FakeBackend(lambda request: FailedRequest("refused", "the filter said no"))
        for _ in range(2):
            with scheduler(backend, tmp_path / "c") as running:
                list(running.run("a", work_of()))
        assert len(backend.asked) == 2

    def test_a_completion_that_was_cut_off_is_no_answer(self, tmp_path):
        backend = FakeBackend(lambda request: Completion("half an ans", "length"))
        with scheduler(backend, tmp_path / "c") as running:
            [(_, failure)] = running.run("a", work_of())
        assert isinstance(failure, CompletionFailed)
        assert (failure.reason, failure.evidence["completion"]) == ("truncated", "half an ans")


def test_the_budget_stops_the_asking_and_says_so():
    backend = FakeBackend(echo)
    budget = Budget(max_tokens=440)  # 400 are expected of the first completion; each takes 8
    with scheduler(backend, concurrency=1, budget=budget) as running:
        results = list(running.run(map(str, range(100)), work_of(stages=1)))
    answered = [said for _, said in results if not isinstance(said, CompletionFailed)]
    assert 50 <= len(answered) <= 55
    assert {said.reason for _, said in results[len(answered) :]} == {"budget"}
    assert len(backend.asked) == len(answered)


def test_completions_are_recorded_once_each_also_from_the_cache(tmp_path):
    recorded = []
    for _ in range(2):
        with scheduler(
            FakeBackend(echo), tmp_path / "c", record=lambda *pair: recorded.append(pair)
        ) as running:
            list(running.run(["a", "a", "b"], work_of(stages=1)))
    texts = [completion.text for _, completion in recorded]
    assert (sorted(texts[:2]), sorted({*texts[2:]})) == (["<a>", "<b>"], ["<a>", "<b>"])
