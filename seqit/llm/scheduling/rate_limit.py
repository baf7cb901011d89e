"""How fast to ask: adaptive concurrency, limits by the minute, and the wait after a failure.

Concurrency follows additive increase and multiplicative decrease (Chiu and Jain, "Analysis of the
Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989).
"""

import time
from collections.abc import Callable
from random import Random

BURST = 3.0  # seconds' worth of a limit by the minute that may be sent at once
FIRST_WAIT = 0.5  # seconds
LONGEST_WAIT = 60.0  # seconds
LONGEST_RETRY_AFTER = 600.0  # seconds: a server that asks for more is asked again all the same


class RateLimiter:
    """Says how many requests may be sent; one thread asks before it sends, and tells each answer.

    max_concurrency: most requests in flight. rpm, tpm: requests and tokens a minute, of prompts
    and completions together; None: no limit. `clock` gives seconds.
    """

    def __init__(
        self,
        max_concurrency: int,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = max_concurrency  # a healthy server is used fully from the start
        self._most = max_concurrency
        self._clock = clock
        now = clock()
        self._requests = _TokenBucket(rpm, now) if rpm else None
        self._tokens = _TokenBucket(tpm, now) if tpm else None
        self._paused = now  # until when
        self._sent = 0
        self._cut = 0  # how many were sent when the limit was last cut
        self._successes = 0  # since the limit changed, of requests sent since its last cut

    def allowance(self, in_flight: int, tokens: float = 0) -> int:
        """Return how many more requests of about so many tokens each may be sent now.

        A single request larger than what may be sent at once goes when nothing else does.
        """
        now = self._clock()
        if now < self._paused:
            return 0
        most = max(0, self.limit - in_flight)
        if self._requests:
            most = min(most, self._requests.holds(now, 1))
        if self._tokens and tokens > 0:
            most = min(most, self._tokens.holds(now, tokens))
        return most

    def spend(self, tokens: float = 0) -> int:
        """Take note that a request of about so many tokens is sent; returns its number."""
        now = self._clock()
        if self._requests:
            self._requests.take(now, 1)
        if self._tokens:
            self._tokens.take(now, tokens)
        self._sent += 1
        return self._sent

    def settle(self, estimated: float, used: float) -> None:
        """Take note of the tokens that a request took in truth; 0 for one that failed."""
        if self._tokens:
            self._tokens.take(self._clock(), used - estimated)

    def next_time(self, tokens: float = 0) -> float | None:
        """Return when the pause and the limits by the minute let such a request go.

        None where they do so already: only an answer can make room then.
        """
        now = self._clock()
        times = [self._paused]
        if self._requests:
            times.append(self._requests.time(now, 1))
        if self._tokens and tokens > 0:
            times.append(self._tokens.time(now, tokens))
        latest = max(times)
        return latest if latest > now else None

    def succeeded(self, number: int) -> None:
        """Take note of an answer to the request that `spend` gave this number.

        After as many as are let fly at once, one more is.
        """
        if number <= self._cut or self.limit == self._most:
            return
        self._successes += 1
        if self._successes >= self.limit:
            self.limit += 1
            self._successes = 0

    def overloaded(self, number: int, retry_after: float | None = None) -> None:
        """Take note that the server had too much to do for the request of this number.

        The limit is halved, once for all requests that were sent before. With `retry_after`
        (seconds) nothing at all is sent until then.
        """
        if retry_after is not None:
            until = self._clock() + min(retry_after, LONGEST_RETRY_AFTER)
            self._paused = max(self._paused, until)
        if number > self._cut:
            self.limit = max(1, self.limit // 2)
            self._successes = 0
            self._cut = self._sent


class _TokenBucket:
    """A token bucket: fills evenly, holds a few seconds' worth, and may fall into debt."""

    def __init__(self, a_minute: float, now: float) -> None:
        self._rate = a_minute / 60
        self._size = max(1.0, self._rate * BURST)
        self._level = self._size
        self._time = now

    def take(self, now: float, amount: float) -> None:
        """Take out so much, or give back where it is negative."""
        self._fill(now)
        self._level = min(self._size, self._level - amount)

    def holds(self, now: float, amount: float) -> int:
        """Return how often so much can be taken out; once, if full, where it is more than fits."""
        self._fill(now)
        room = self._level + 1e-9  # so that a request may go at the time that `time` said
        if amount > self._size:
            return int(room >= self._size)
        return max(0, int(room / amount))

    def time(self, now: float, amount: float) -> float:
        """Return when so much can be taken out, or all that it can hold."""
        self._fill(now)
        return now + max(0.0, min(amount, self._size) - self._level) / self._rate

    def _fill(self, now: float) -> None:
        self._level = min(self._size, self._level + (now - self._time) * self._rate)
        self._time = now


def backoff(tries: int, lot: Random, retry_after: float | None = None) -> float:
    """Return how many seconds to wait after a request failed for the `tries`-th time.

    Anything from nothing to 0.5 s, doubled each time, 60 s at most ("full jitter": those who
    failed together do not come back together); no less than `retry_after`, as far as ten minutes.
    """
    wait = lot.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (min(tries, 20) - 1)))
    return max(wait, min(retry_after or 0.0, LONGEST_RETRY_AFTER))
