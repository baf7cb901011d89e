"""Rate limiting: adaptive concurrency, limits per minute, and the backoff after a failure.

Concurrency follows additive increase and multiplicative decrease (Chiu and Jain, "Analysis of the
Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989).
"""

import time
from collections.abc import Callable
from random import Random

BURST_SECONDS = 3.0  # a bucket holds what the limit per minute permits in this time
INITIAL_WAIT = 0.5  # seconds
MAX_WAIT = 60.0  # seconds
MAX_RETRY_AFTER = 600.0  # seconds: a longer Retry-After is cut to this


class RateLimiter:
    """Decides how many requests may be sent; used by one thread, which also reports each outcome.

    max_concurrency: requests in flight at most. rpm, tpm: requests and tokens per minute, of
    prompts and completions together; None: no limit. `clock` returns seconds.
    """

    def __init__(
        self,
        max_concurrency: int,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = max_concurrency  # full concurrency from the start
        self._max_concurrency = max_concurrency
        self._clock = clock
        now = clock()
        self._requests = _TokenBucket(rpm, now) if rpm else None
        self._tokens = _TokenBucket(tpm, now) if tpm else None
        self._paused_until = now
        self._sent = 0
        self._sent_at_cut = 0  # `_sent` when the limit was last halved
        self._successes = 0  # since the limit changed, of requests sent after its last cut

    def allowance(self, in_flight: int, tokens: float = 0) -> int:
        """Return how many more requests of about `tokens` tokens each may be sent now.

        A request larger than the token bucket may be sent once the bucket is full.
        """
        now = self._clock()
        if now < self._paused_until:
            return 0
        allowed = max(0, self.limit - in_flight)
        if self._requests:
            allowed = min(allowed, self._requests.available(now, 1))
        if self._tokens and tokens > 0:
            allowed = min(allowed, self._tokens.available(now, tokens))
        return allowed

    def record_sent(self, tokens: float = 0) -> int:
        """Record that a request of about `tokens` tokens is sent; returns its number."""
        now = self._clock()
        if self._requests:
            self._requests.take(now, 1)
        if self._tokens:
            self._tokens.take(now, tokens)
        self._sent += 1
        return self._sent

    def correct_tokens(self, estimated: float, used: float) -> None:
        """Replace a request's estimated tokens by those that it used, 0 if it failed."""
        if self._tokens:
            self._tokens.take(self._clock(), used - estimated)

    def next_send_time(self, tokens: float = 0) -> float | None:
        """Return when the pause and the limits per minute permit such a request.

        None if they permit it already; then only an outcome can free concurrency.
        """
        now = self._clock()
        times = [self._paused_until]
        if self._requests:
            times.append(self._requests.ready_at(now, 1))
        if self._tokens and tokens > 0:
            times.append(self._tokens.ready_at(now, tokens))
        latest = max(times)
        return latest if latest > now else None

    def record_success(self, number: int) -> None:
        """Record a completion of the request that `record_sent` gave this number.

        After `limit` successes the limit grows by one.
        """
        if number <= self._sent_at_cut or self.limit == self._max_concurrency:
            return
        self._successes += 1
        if self._successes >= self.limit:
            self.limit += 1
            self._successes = 0

    def record_overload(self, number: int, retry_after: float | None = None) -> None:
        """Record that the server was overloaded when it got the request of this number.

        The limit is halved, once for all requests that were sent before. With `retry_after`
        (seconds) nothing is sent until then.
        """
        if retry_after is not None:
            until = self._clock() + min(retry_after, MAX_RETRY_AFTER)
            self._paused_until = max(self._paused_until, until)
        if number > self._sent_at_cut:
            self.limit = max(1, self.limit // 2)
            self._successes = 0
            self._sent_at_cut = self._sent


class _TokenBucket:
    """A token bucket: refilled evenly, with room for BURST_SECONDS; its level may be negative."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate * BURST_SECONDS)
        self._level = self._size
        self._time = now

    def take(self, now: float, amount: float) -> None:
        """Take `amount` out, or give it back if negative."""
        self._fill(now)
        self._level = min(self._size, self._level - amount)

    def available(self, now: float, amount: float) -> int:
        """Return how often `amount` can be taken out; once if full and it does not fit."""
        self._fill(now)
        level = self._level + 1e-9  # so that `ready_at` returns a time at which it is available
        if amount > self._size:
            return int(level >= self._size)
        return max(0, int(level / amount))

    def ready_at(self, now: float, amount: float) -> float:
        """Return when `amount` can be taken out, or when the bucket is full if that is less."""
        self._fill(now)
        return now + max(0.0, min(amount, self._size) - self._level) / self._rate

    def _fill(self, now: float) -> None:
        self._level = min(self._size, self._level + (now - self._time) * self._rate)
        self._time = now


def backoff(tries: int, rng: Random, retry_after: float | None = None) -> float:
    """Return how many seconds to wait after a request failed for the `tries`-th time.

    Uniform between 0 and 0.5 s, doubled with each try up to 60 s ("full jitter": requests that
    failed together are not retried together); at least `retry_after`, up to ten minutes.
    """
    wait = rng.uniform(0, min(MAX_WAIT, INITIAL_WAIT * 2 ** (min(tries, 20) - 1)))
    return max(wait, min(retry_after or 0.0, MAX_RETRY_AFTER))
