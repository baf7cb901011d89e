"""Rate limits: they hold under any outcomes, on a clock that the test advances."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.llm.scheduling.rate_limit import BURST_SECONDS, RateLimiter, backoff


class Clock:
    """A clock that stands still until the test advances it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


# --- concurrency ---


def test_full_concurrency_is_used_from_the_start(clock):
    limiter = RateLimiter(64, clock=clock)
    assert [limiter.allowance(in_flight) for in_flight in (0, 1, 63, 64, 70)] == [64, 63, 1, 0, 0]
    assert limiter.next_send_time() is None


def test_a_burst_of_overloads_halves_the_limit_once(clock):
    limiter = RateLimiter(64, clock=clock)
    sent = [limiter.record_sent() for _ in range(64)]
    for each in sent:
        limiter.record_overload(each)
    assert limiter.limit == 32
    assert limiter.allowance(31) == 1
    assert limiter.allowance(40) == 0
    again = limiter.record_sent()
    limiter.record_overload(sent[0])
    assert limiter.limit == 32
    limiter.record_overload(again)
    assert limiter.limit == 16


def test_one_request_may_always_be_sent(clock):
    limiter = RateLimiter(8, clock=clock)
    for _ in range(10):
        limiter.record_overload(limiter.record_sent())
    assert limiter.limit == 1
    assert limiter.allowance(0) == 1


def test_the_limit_grows_by_one_per_window_up_to_the_maximum(clock):
    limiter = RateLimiter(8, clock=clock)
    limiter.record_overload(limiter.record_sent())
    assert limiter.limit == 4
    sent = limiter.record_sent()
    limits = []
    for _ in range(40):
        limiter.record_success(sent)
        limits.append(limiter.limit)
    assert limits == [4] * 3 + [5] * 5 + [6] * 6 + [7] * 7 + [8] * 19


def test_successes_of_requests_sent_before_the_cut_do_not_count(clock):
    limiter = RateLimiter(8, clock=clock)
    early = limiter.record_sent()
    limiter.record_overload(early)
    for _ in range(100):
        limiter.record_success(early)
    assert limiter.limit == 4


def test_retry_after_pauses_everything(clock):
    limiter = RateLimiter(8, clock=clock)
    sent = limiter.record_sent()
    limiter.record_overload(sent, retry_after=5)
    limiter.record_overload(sent, retry_after=2)  # does not shorten the pause
    assert limiter.allowance(0) == 0
    assert limiter.next_send_time() == clock.now + 5
    clock.now += 5
    assert limiter.allowance(0) == 4
    assert limiter.next_send_time() is None


def test_retry_after_is_capped_at_ten_minutes(clock):
    limiter = RateLimiter(8, clock=clock)
    limiter.record_overload(limiter.record_sent(), retry_after=86_400)
    assert limiter.next_send_time() == clock.now + 600


@given(
    max_concurrency=st.integers(1, 100),
    events=st.lists(st.sampled_from(["sent", "succeeded", "overloaded"])),
)
def test_the_limit_stays_between_one_and_the_maximum(max_concurrency, events):
    limiter = RateLimiter(max_concurrency)
    sent_numbers = [limiter.record_sent()]
    for event in events:
        before, cut = limiter.limit, limiter._sent_at_cut
        if event == "sent":
            sent_numbers.append(limiter.record_sent())
        elif event == "succeeded":
            limiter.record_success(sent_numbers[-1])
            assert before <= limiter.limit <= before + 1
        else:
            limiter.record_overload(sent_numbers[0])
            assert limiter.limit == (max(1, before // 2) if sent_numbers[0] > cut else before)
            sent_numbers = sent_numbers[1:] or [limiter.record_sent()]
        assert 1 <= limiter.limit <= max_concurrency


# --- limits per minute ---


def sending(limiter, clock, steps, tokens=0.0):
    """Send all that may be sent after each of these time steps; returns the send times."""
    times = []
    for step in steps:
        clock.now += step
        while limiter.allowance(0, tokens):
            limiter.record_sent(tokens)
            times.append(clock.now)
    return times


def busiest_minute(times):
    return max((sum(start <= each < start + 60 for each in times) for start in times), default=0)


@settings(deadline=None)
@given(
    rpm=st.floats(1, 3000),
    steps=st.lists(st.floats(0, 20) | st.just(0.01), min_size=1, max_size=60),
)
def test_no_minute_has_more_requests_than_rpm_and_the_burst(rpm, steps):
    clock = Clock()
    times = sending(RateLimiter(10_000, rpm=rpm, clock=clock), clock, steps)
    assert times  # the first is sent immediately
    assert busiest_minute(times) <= rpm + max(1, rpm * BURST_SECONDS / 60) + 1e-6


@settings(deadline=None)
@given(rpm=st.floats(1, 1000), tokens=st.floats(1, 5000), tpm=st.floats(1, 100_000))
def test_a_request_may_be_sent_at_the_next_send_time(rpm, tokens, tpm):
    clock = Clock()
    limiter = RateLimiter(10_000, rpm=rpm, tpm=tpm, clock=clock)
    for _ in range(30):
        when = limiter.next_send_time(tokens)
        if when is not None:
            assert limiter.allowance(0, tokens) == 0
            assert when > clock.now
            clock.now = when
        assert limiter.allowance(0, tokens) >= 1
        limiter.record_sent(tokens)


@settings(deadline=None)
@given(
    tpm=st.floats(60, 100_000),
    requests=st.lists(st.tuples(st.floats(1, 3000), st.floats(0, 3000)), max_size=60),
)
def test_no_minute_has_more_tokens_than_tpm_the_burst_and_one_request(tpm, requests):
    """Estimated and used tokens; each outcome arrives before the next request is sent."""
    clock = Clock()
    limiter = RateLimiter(10_000, tpm=tpm, clock=clock)
    spent = []
    for estimated, used in requests:
        clock.now = limiter.next_send_time(estimated) or clock.now
        limiter.record_sent(estimated)
        limiter.correct_tokens(estimated, used)
        spent.append((clock.now, used))
    largest = max([3000.0, tpm * BURST_SECONDS / 60])
    for start, _ in spent:
        minute = sum(used for time, used in spent if start <= time < start + 60)
        assert minute <= tpm + 2 * largest + 1e-6


def test_the_rate_holds_over_a_long_run(clock):
    limiter = RateLimiter(1000, rpm=600, clock=clock)
    times = sending(limiter, clock, [0.05] * 12_000)  # ten minutes
    assert len(times) == pytest.approx(6000 + 30, abs=2)


def test_one_request_per_minute(clock):
    limiter = RateLimiter(5, rpm=1, clock=clock)
    assert limiter.allowance(0) == 1
    limiter.record_sent()
    assert limiter.allowance(0) == 0
    assert limiter.next_send_time() == pytest.approx(clock.now + 60)


def test_a_request_larger_than_the_bucket_is_sent_when_it_is_full(clock):
    limiter = RateLimiter(5, tpm=600, clock=clock)  # 10 per second, 30 at once
    assert limiter.allowance(0, 100) == 1
    limiter.record_sent(100)
    assert limiter.allowance(0, 10) == 0
    assert limiter.next_send_time(10) == pytest.approx(clock.now + 8)
    assert limiter.next_send_time(100) == pytest.approx(clock.now + 10)


def test_tokens_are_corrected_by_those_used(clock):
    limiter = RateLimiter(50, tpm=6000, clock=clock)  # 300 at once
    limiter.record_sent(300)
    assert limiter.allowance(0, 100) == 0
    limiter.correct_tokens(300, 0)  # it failed and used none
    assert limiter.allowance(0, 100) == 3
    limiter.record_sent(100)
    limiter.correct_tokens(100, 400)
    assert limiter.next_send_time(100) == pytest.approx(clock.now + 2)
    limiter.correct_tokens(1000, 0)  # the bucket does not overflow
    assert limiter.allowance(0, 100) == 3


def test_the_smallest_limit_applies(clock):
    limiter = RateLimiter(8, rpm=100, tpm=12_000, clock=clock)  # 5 requests and 600 tokens at once
    assert limiter.allowance(0) == 5
    assert limiter.allowance(0, 200) == 3
    assert limiter.allowance(6, 10) == 2


# --- waiting after a failure ---


@given(st.integers(1, 5000), st.integers())
def test_a_wait_is_random_below_a_bound_that_doubles(tries, seed):
    wait = backoff(tries, Random(seed))
    assert 0 <= wait <= min(60, 0.5 * 2 ** min(tries - 1, 10))


def test_waits_are_spread_over_the_whole_range():
    waits = [backoff(4, Random(seed)) for seed in range(400)]
    assert min(waits) < 0.2 and max(waits) > 3.8
    assert sum(waits) / len(waits) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(("retry_after", "minimum"), [(30, 30), (0, 0), (-5, 0), (10_000, 600)])
def test_retry_after_is_the_minimum_wait(retry_after, minimum):
    assert all(backoff(1, Random(seed), retry_after) >= minimum for seed in range(20))
    assert backoff(1, Random(1), retry_after) <= max(minimum, 0.5)
