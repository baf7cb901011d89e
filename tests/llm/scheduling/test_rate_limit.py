"""How fast to ask: the limits hold under any answers, on a clock that the test moves."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.llm.scheduling.rate_limit import BURST, RateLimiter, backoff


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


# --- concurrency ---


def test_a_healthy_server_is_used_fully_at_once(clock):
    pace = RateLimiter(64, clock=clock)
    assert [pace.allowance(in_flight) for in_flight in (0, 1, 63, 64, 70)] == [64, 63, 1, 0, 0]
    assert pace.next_time() is None


def test_a_burst_cuts_once(clock):
    pace = RateLimiter(64, clock=clock)
    sent = [pace.spend() for _ in range(64)]
    for each in sent:
        pace.overloaded(each)
    assert pace.limit == 32
    assert pace.allowance(31) == 1
    assert pace.allowance(40) == 0
    again = pace.spend()
    pace.overloaded(sent[0])
    assert pace.limit == 32
    pace.overloaded(again)
    assert pace.limit == 16


def test_one_request_may_always_go(clock):
    pace = RateLimiter(8, clock=clock)
    for _ in range(10):
        pace.overloaded(pace.spend())
    assert pace.limit == 1
    assert pace.allowance(0) == 1


def test_it_grows_by_one_a_window_and_back_to_the_most(clock):
    pace = RateLimiter(8, clock=clock)
    pace.overloaded(pace.spend())
    assert pace.limit == 4
    sent = pace.spend()
    limits = []
    for _ in range(40):
        pace.succeeded(sent)
        limits.append(pace.limit)
    grown = [4] * 3 + [5] * 5 + [6] * 6 + [7] * 7 + [8] * 19
    assert limits == grown


def test_answers_to_what_was_sent_before_the_cut_say_nothing_of_the_new_limit(clock):
    pace = RateLimiter(8, clock=clock)
    early = pace.spend()
    pace.overloaded(early)
    for _ in range(100):
        pace.succeeded(early)
    assert pace.limit == 4


def test_a_retry_after_stops_everything_until_then(clock):
    pace = RateLimiter(8, clock=clock)
    sent = pace.spend()
    pace.overloaded(sent, retry_after=5)
    pace.overloaded(sent, retry_after=2)  # a shorter one does not shorten it
    assert pace.allowance(0) == 0
    assert pace.next_time() == clock.now + 5
    clock.now += 5
    assert pace.allowance(0) == 4
    assert pace.next_time() is None


def test_a_retry_after_is_believed_for_ten_minutes(clock):
    pace = RateLimiter(8, clock=clock)
    pace.overloaded(pace.spend(), retry_after=86_400)
    assert pace.next_time() == clock.now + 600


@given(
    most=st.integers(1, 100),
    events=st.lists(st.sampled_from(["sent", "succeeded", "overloaded"])),
)
def test_the_limit_stays_between_one_and_the_most(most, events):
    pace = RateLimiter(most)
    flying = [pace.spend()]
    for event in events:
        before, cut = pace.limit, pace._cut
        if event == "sent":
            flying.append(pace.spend())
        elif event == "succeeded":
            pace.succeeded(flying[-1])
            assert before <= pace.limit <= before + 1
        else:
            pace.overloaded(flying[0])
            assert pace.limit == (max(1, before // 2) if flying[0] > cut else before)
            flying = flying[1:] or [pace.spend()]
        assert 1 <= pace.limit <= most


# --- by the minute ---


def sending(pace, clock, steps, tokens=0.0):
    """Send all that may be sent, at each of these steps of time; returns the times of it."""
    times = []
    for step in steps:
        clock.now += step
        while pace.allowance(0, tokens):
            pace.spend(tokens)
            times.append(clock.now)
    return times


def busiest_minute(times):
    return max((sum(start <= each < start + 60 for each in times) for start in times), default=0)


@settings(deadline=None)
@given(
    rpm=st.floats(1, 3000),
    steps=st.lists(st.floats(0, 20) | st.just(0.01), min_size=1, max_size=60),
)
def test_no_minute_has_more_than_rpm_and_the_burst(rpm, steps):
    clock = Clock()
    times = sending(RateLimiter(10_000, rpm=rpm, clock=clock), clock, steps)
    assert times  # one may be sent at once
    assert busiest_minute(times) <= rpm + max(1, rpm * BURST / 60) + 1e-6


@settings(deadline=None)
@given(rpm=st.floats(1, 1000), tokens=st.floats(1, 5000), tpm=st.floats(1, 100_000))
def test_a_request_may_go_at_the_time_that_was_said(rpm, tokens, tpm):
    clock = Clock()
    pace = RateLimiter(10_000, rpm=rpm, tpm=tpm, clock=clock)
    for _ in range(30):
        when = pace.next_time(tokens)
        if when is not None:
            assert pace.allowance(0, tokens) == 0
            assert when > clock.now
            clock.now = when
        assert pace.allowance(0, tokens) >= 1
        pace.spend(tokens)


@settings(deadline=None)
@given(
    tpm=st.floats(60, 100_000),
    requests=st.lists(st.tuples(st.floats(1, 3000), st.floats(0, 3000)), max_size=60),
)
def test_no_minute_has_more_tokens_than_tpm_the_burst_and_one_request(tpm, requests):
    """Estimates and what requests took in truth; the answer comes before the next is sent."""
    clock = Clock()
    pace = RateLimiter(10_000, tpm=tpm, clock=clock)
    spent = []
    for estimated, used in requests:
        clock.now = pace.next_time(estimated) or clock.now
        pace.spend(estimated)
        pace.settle(estimated, used)
        spent.append((clock.now, used))
    most = max([3000.0, tpm * BURST / 60])
    for start, _ in spent:
        minute = sum(used for time, used in spent if start <= time < start + 60)
        assert minute <= tpm + 2 * most + 1e-6


def test_the_long_run_keeps_to_the_rate(clock):
    pace = RateLimiter(1000, rpm=600, clock=clock)
    times = sending(pace, clock, [0.05] * 12_000)  # ten minutes
    assert len(times) == pytest.approx(6000 + 30, abs=2)


def test_one_a_minute(clock):
    pace = RateLimiter(5, rpm=1, clock=clock)
    assert pace.allowance(0) == 1
    pace.spend()
    assert pace.allowance(0) == 0
    assert pace.next_time() == pytest.approx(clock.now + 60)


def test_a_request_larger_than_the_bucket_goes_when_it_is_full_and_is_paid_off(clock):
    pace = RateLimiter(5, tpm=600, clock=clock)  # ten a second, thirty at once
    assert pace.allowance(0, 100) == 1
    pace.spend(100)
    assert pace.allowance(0, 10) == 0
    assert pace.next_time(10) == pytest.approx(clock.now + 8)
    assert pace.next_time(100) == pytest.approx(clock.now + 10)


def test_tokens_are_corrected_when_they_are_known(clock):
    pace = RateLimiter(50, tpm=6000, clock=clock)  # three hundred at once
    pace.spend(300)
    assert pace.allowance(0, 100) == 0
    pace.settle(300, 0)  # it failed and took none
    assert pace.allowance(0, 100) == 3
    pace.spend(100)
    pace.settle(100, 400)
    assert pace.next_time(100) == pytest.approx(clock.now + 2)
    pace.settle(1000, 0)  # no more is given back than fits
    assert pace.allowance(0, 100) == 3


def test_the_smallest_of_all_limits_counts(clock):
    pace = RateLimiter(8, rpm=100, tpm=12_000, clock=clock)  # five, and six hundred tokens at once
    assert pace.allowance(0) == 5
    assert pace.allowance(0, 200) == 3
    assert pace.allowance(6, 10) == 2


# --- waiting after a failure ---


@given(st.integers(1, 5000), st.integers())
def test_a_wait_is_drawn_below_a_bound_that_doubles(tries, seed):
    wait = backoff(tries, Random(seed))
    assert 0 <= wait <= min(60, 0.5 * 2 ** min(tries - 1, 10))


def test_waits_are_spread_over_the_whole_range():
    waits = [backoff(4, Random(seed)) for seed in range(400)]
    assert min(waits) < 0.2 and max(waits) > 3.8
    assert sum(waits) / len(waits) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(("asked", "least"), [(30, 30), (0, 0), (-5, 0), (10_000, 600)])
def test_a_retry_after_is_the_least(asked, least):
    assert all(backoff(1, Random(seed), asked) >= least for seed in range(20))
    assert backoff(1, Random(1), asked) <= max(least, 0.5)
