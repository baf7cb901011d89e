"""The scheduler: order, pairing, retries, limits, and what a killed run leaves in the cache."""

import os
import threading
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
from seqit.llm.scheduling.sender import MAX_CONSECUTIVE_FAILURES, Sender


def scheduler(backend, cache=None, concurrency=8, window=32, budget=None, **more):
    if cache:
        cache = Cache(cache, backend.identity())
    more = {"retries": 3} | more
    sender = Sender(
        backend,
        cache=cache,
        rate_limiter=RateLimiter(concurrency),
        budget=budget or Budget(),
        **more,
    )
    return Scheduler(sender, window)


def make_request(text, stage="ask"):
    return Request([{"role": "user", "content": text}], Sampling(), 0, record_id=text, stage=stage)


def staged_call(stages=2, parse=str):
    """Return a function that makes a call; each stage's prompt is the last stage's completion."""

    def make_call(item):
        text = str(item)
        for number in range(stages):
            text = yield from complete_with_retries(make_request(text, f"stage{number}"), 7, parse)
        return text

    return make_call


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
    items, rng, batch_size, concurrency, window
):
    backend = FakeBackend(
        echo, batch_size=batch_size, choose=lambda waiting: rng.randrange(len(waiting))
    )
    with scheduler(backend, concurrency=concurrency, window=window) as running:
        results = list(running.run(items, staged_call()))
    assert results == [(item, f"<<{item}>>") for item in items]
    assert backend.max_in_flight <= concurrency


def test_a_call_that_has_started_finishes_before_others_start():
    backend = FakeBackend(echo)
    with scheduler(backend, concurrency=2, window=20) as running:
        results = list(running.run("abcdefghijkl", staged_call(stages=3)))
    assert len(results) == 12
    prompts = [request.messages[-1]["content"] for request in backend.requests]
    for first, later in zip("abcdefghi", "defghijkl", strict=True):
        assert prompts.index(f"<<{first}>>") < prompts.index(later)


def test_equal_requests_in_flight_are_sent_once():
    backend = FakeBackend(echo, batch_size=100)
    with scheduler(backend, concurrency=100, window=100) as running:
        results = list(running.run(["a"] * 50 + ["b"], staged_call(stages=1)))
    assert results == [("a", "<a>")] * 50 + [("b", "<b>")]
    assert len(backend.requests) == 2


def test_a_transient_failure_is_retried_and_a_lasting_one_fails_alone(monkeypatch):
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
        results = dict(running.run(items, staged_call(stages=1)))
    assert (results["a"], results["b"]) == ("<a>", "<b>")
    assert (results["poison"].reason, times["poison"]) == ("server-error", 4)
    assert running.progress.retries == 2 + 3 + 2


def test_a_failure_that_is_not_retryable_is_not_retried():
    backend = FakeBackend(lambda request: FailedRequest("too-long", "the prompt is too long"))
    with scheduler(backend) as running:
        [(_, failure)] = running.run(["a"], staged_call())
    assert (failure.reason, failure.stage, len(backend.requests)) == ("too-long", "stage0", 1)


def test_a_fatal_failure_ends_the_run():
    backend = FakeBackend(lambda request: FailedRequest("config", "the key is wrong", fatal=True))
    with scheduler(backend) as running, pytest.raises(SeqitError, match="the key is wrong"):
        list(running.run("abc", staged_call()))


def test_a_server_that_is_gone_ends_the_run_and_does_not_fail_all_rows():
    backend = FakeBackend(
        lambda request: FailedRequest("connection", "no connection", retryable=True)
    )
    done = []
    with scheduler(backend, retries=0) as running, pytest.raises(SeqitError, match="to go on"):
        done += running.run(map(str, range(10_000)), staged_call())
    assert len(done) < MAX_CONSECUTIVE_FAILURES


def test_reading_ahead_is_limited_by_the_window():
    read = []

    def items():
        for number in range(1000):
            read.append(number)
            yield str(number)

    nothing_to_do = threading.Event()
    never = FakeBackend(lambda request: None if request.record_id == "0" else echo(request))
    never.idle = nothing_to_do.set
    with scheduler(never, window=16) as running:
        run = running.run(items(), staged_call(stages=1))
        threading.Thread(target=lambda: next(run, None), daemon=True).start()
        assert nothing_to_do.wait(60)
        assert 16 <= len(read) <= 16 + 64 + 2


def test_results_are_yielded_while_the_source_waits():
    source, end = os.pipe()

    def items():
        with os.fdopen(source) as lines:
            yield from (line.strip() for line in lines)

    with scheduler(FakeBackend(echo)) as running, os.fdopen(end, "w", buffering=1) as writer:
        run = running.run(items(), staged_call())
        writer.write("a\n")
        assert next(run) == ("a", "<<a>>")
        writer.write("b\n")
        assert next(run) == ("b", "<<b>>")
        writer.close()
        assert list(run) == []


def test_an_error_of_the_source_is_raised_after_the_items_before_it():
    def items():
        yield "a"
        raise SeqitError("the source is broken")

    with scheduler(FakeBackend(echo)) as running:
        run = running.run(items(), staged_call())
        assert next(run) == ("a", "<<a>>")
        with pytest.raises(SeqitError, match="broken"):
            next(run)


def test_before_wait_is_called_before_waiting():
    events = []
    with scheduler(FakeBackend(echo)) as running:
        running.before_wait = lambda: events.append("flush")
        events += running.run("ab", staged_call())
    assert events[0] == "flush"


class TestCache:
    def test_the_second_run_sends_nothing(self, tmp_path):
        first, second = FakeBackend(echo), FakeBackend(lambda request: "something else")
        for backend in (first, second):
            with scheduler(backend, tmp_path / "c") as running:
                assert list(running.run("abc", staged_call())) == [(x, f"<<{x}>>") for x in "abc"]
        assert (len(first.requests), len(second.requests)) == (6, 0)
        assert running.progress.cached == 6

    def test_attempts_that_led_to_an_answer_are_replayed(self, tmp_path):
        def parse(text):
            if text == "<a>":
                raise ParseError("it is not what was asked for")
            return "read"

        for sent in (2, 0):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c") as running:
                assert list(running.run("a", staged_call(1, parse))) == [("a", "read")]
            assert len(backend.requests) == sent

    def test_attempts_that_all_failed_are_repeated_by_the_next_run(self, tmp_path):
        def parse(text):
            raise ParseError("it is not what was asked for")

        for _ in range(2):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c") as running:
                [(_, failure)] = running.run("a", staged_call(1, parse))
            assert (failure.reason, len(backend.requests)) == ("unparseable", 3)

    def test_a_killed_run_keeps_even_those(self, tmp_path):
        def parse(text):
            if text.startswith(("<a", "<That")):
                raise ParseError("it is not what was asked for")
            return text

        for rows, sent in ((3, 3 + 1 + 1), (4, 1)):
            backend = FakeBackend(echo)
            with scheduler(backend, tmp_path / "c", concurrency=1, window=1) as running:
                run = running.run("abcd", staged_call(1, parse))
                results = [next(run) for _ in range(rows)]
                run.close()  # like a kill: nothing is cleaned up
            assert results[0][1].reason == "unparseable"
            assert len(backend.requests) == sent

    def test_failures_are_never_cached(self, tmp_path):
        backend = FakeBackend(lambda request: FailedRequest("refused", "the filter said no"))
        for _ in range(2):
            with scheduler(backend, tmp_path / "c") as running:
                list(running.run("a", staged_call()))
        assert len(backend.requests) == 2

    def test_a_truncated_completion_is_not_an_answer(self, tmp_path):
        backend = FakeBackend(lambda request: Completion("half an ans", "length"))
        with scheduler(backend, tmp_path / "c") as running:
            [(_, failure)] = running.run("a", staged_call())
        assert isinstance(failure, CompletionFailed)
        assert (failure.reason, failure.evidence["completion"]) == ("truncated", "half an ans")


def test_the_budget_stops_the_requests_with_a_reason():
    backend = FakeBackend(echo)
    budget = Budget(max_tokens=440)  # the first completion is estimated at 400; each takes 8
    with scheduler(backend, concurrency=1, budget=budget) as running:
        results = list(running.run(map(str, range(100)), staged_call(stages=1)))
    answered = [result for _, result in results if not isinstance(result, CompletionFailed)]
    assert 50 <= len(answered) <= 55
    assert {result.reason for _, result in results[len(answered) :]} == {"budget"}
    assert len(backend.requests) == len(answered)


def test_completions_are_recorded_once_each_also_from_the_cache(tmp_path):
    recorded = []
    for _ in range(2):
        with scheduler(
            FakeBackend(echo), tmp_path / "c", on_completion=lambda *pair: recorded.append(pair)
        ) as running:
            list(running.run(["a", "a", "b"], staged_call(stages=1)))
    texts = [completion.text for _, completion in recorded]
    assert (sorted(texts[:2]), sorted({*texts[2:]})) == (["<a>", "<b>"], ["<a>", "<b>"])
