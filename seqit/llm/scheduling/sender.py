"""Sends requests within the rate limits and the budget, retries failures, and uses the cache."""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from seqit.errors import SeqitError
from seqit.llm.backend import Backend
from seqit.llm.cache.cache import Cache
from seqit.llm.cache.key import CacheKeys
from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome
from seqit.llm.scheduling.budget import Budget, TokenCount
from seqit.llm.scheduling.rate_limit import RateLimiter, backoff

Caller = TypeVar("Caller")

MAX_CONSECUTIVE_FAILURES = 32
"""Requests in a row that failed after all retries; then the server is taken to be gone."""

NO_TOKENS = TokenCount()


@dataclass(slots=True)
class Progress:
    """What was done so far. Tokens and cost are those of this run's own completions."""

    items: int = 0
    requests: int = 0  # answered, also from the cache
    cached: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None  # US dollars; None if the model has no price


@dataclass(slots=True, eq=False)
class _QueuedRequest(Generic[Caller]):
    """One request, queued or in flight, and the callers that wait for its outcome."""

    ticket: int
    key: bytes
    request: Request
    priority: int  # the lowest is sent first
    callers: list[Caller]
    estimate: TokenCount = NO_TOKENS
    tries: int = 0  # how often it has failed
    sent: int = 0  # its number at the rate limiter


class Sender(Generic[Caller]):
    """Takes requests and returns to each caller the outcome after all retries.

    Whatever the backend delivers, from any thread, is written to the cache first. Equal requests
    are sent once. `on_completion` is called with every completion, once.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        cache: Cache | None,
        rate_limiter: RateLimiter,
        budget: Budget,
        retries: int,
        on_completion: Callable[[Request, Completion], None] | None = None,
    ) -> None:
        self.progress = Progress(cost=budget.cost)
        self.wake = backend.wake
        self._backend = backend
        self._cache = cache
        self.key = cache.key if cache else CacheKeys(backend.identity()).key
        self._rate_limiter = rate_limiter
        self._budget = budget
        self._retries = retries
        self._on_completion = on_completion
        self._tickets = itertools.count()
        self._unfinished: dict[bytes, _QueuedRequest[Caller]] = {}  # by key
        self._in_flight: dict[int, _QueuedRequest[Caller]] = {}  # by ticket
        self._send_heap: list[tuple[int, int, _QueuedRequest[Caller]]] = []  # by priority
        self._retry_heap: list[tuple[float, int, _QueuedRequest[Caller]]] = []  # by time
        self._delivered: deque[tuple[int, RequestOutcome]] = deque()
        self._finished: list[tuple[Caller, RequestOutcome]] = []
        self._delivery_error: Exception | None = None  # raised in the backend's thread
        self._tokens_in_flight = TokenCount()  # estimated
        self._budget_message = ""  # not empty once the budget is used up
        self._consecutive_failures = 0
        self._jitter = Random()  # decides when a request is sent, never what

    def open(self) -> None:
        """Open the backend; raises SeqitError if it cannot start."""
        self._backend.open(self._deliver)

    def close(self) -> None:
        """Drop what is in flight, and close backend and cache; may be called twice."""
        self._backend.close()
        if self._cache:
            self._cache.close()

    def enqueue(self, request: Request, caller: Caller, priority: int = 0) -> RequestOutcome | None:
        """Return a cached completion; else queue the request, and `collect` returns its outcome.

        Of the queued requests, the one with the lowest `priority` is sent first.
        """
        key = self.key(request)
        if queued := self._unfinished.get(key):
            queued.callers.append(caller)
            return None
        if cached := self._cache.get(key) if self._cache else None:
            self.progress.cached += 1
            self._count_completion(request, cached)
            return cached
        queued = _QueuedRequest(next(self._tickets), key, request, priority, [caller])
        self._unfinished[key] = queued
        self._push(queued)
        return None

    def _push(self, queued: _QueuedRequest[Caller]) -> None:
        heapq.heappush(self._send_heap, (queued.priority, queued.ticket, queued))

    def send(self) -> None:
        """Submit what the limits permit; once the budget is used up, the rest fails."""
        now = time.monotonic()
        while self._retry_heap and self._retry_heap[0][0] <= now:
            self._push(heapq.heappop(self._retry_heap)[2])
        batch = []
        while self._send_heap and self._may_send(self._send_heap[0][-1]):
            queued = heapq.heappop(self._send_heap)[-1]
            queued.sent = self._rate_limiter.record_sent(queued.estimate.total)
            self._tokens_in_flight = self._tokens_in_flight.plus(queued.estimate)
            self._in_flight[queued.ticket] = queued
            batch.append((queued.ticket, queued.request))
        if batch:
            self._backend.submit(batch)
        while self._budget_message and self._send_heap:
            queued = heapq.heappop(self._send_heap)[-1]
            self._finish(queued, FailedRequest("budget", self._budget_message))

    def _may_send(self, queued: _QueuedRequest[Caller]) -> bool:
        """Return whether the next request may be sent now; notes when the budget is used up."""
        if self._budget_message or len(self._in_flight) >= self._rate_limiter.limit:
            return False
        # Estimated only now, since each completion improves the estimates.
        estimate = queued.estimate = self._budget.estimate(queued.request)
        if not self._rate_limiter.allowance(len(self._in_flight), estimate.total):
            return False
        if self._budget.may_send(estimate, self._tokens_in_flight):
            return True
        if not self._in_flight:  # else what is in flight may use less than was estimated
            self._budget_message = self._budget.exceeded_message(estimate)
        return False

    def collect(self) -> list[tuple[Caller, RequestOutcome]]:
        """Return the outcomes that became final since the last call, one for each caller.

        Raises SeqitError if no further request can succeed.
        """
        while self._delivered:
            ticket, outcome = self._delivered.popleft()
            queued = self._in_flight.pop(ticket)
            self._tokens_in_flight = self._tokens_in_flight.minus(queued.estimate)
            if isinstance(outcome, Completion):
                self._handle_completion(queued, outcome)
            else:
                self._handle_failure(queued, outcome)
        if self._delivery_error:
            raise self._delivery_error
        finished, self._finished = self._finished, []
        return finished

    def wait(self, timeout: float | None) -> None:
        """Wait for an outcome, for the time of the next request, or for `timeout` seconds."""
        if self._finished or self._delivered:
            return
        now = time.monotonic()
        times = [] if timeout is None else [now + timeout]
        if self._retry_heap:
            times.append(self._retry_heap[0][0])
        if self._send_heap:
            at = self._rate_limiter.next_send_time(self._send_heap[0][-1].estimate.total)
            times += [] if at is None else [at]
        self._backend.wait(max(0.0, min(times) - now) if times else None)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Remove completions from the cache, so that the next run requests them again."""
        if self._cache:
            self._cache.forget(keys)

    def _deliver(self, outcomes: list[tuple[int, RequestOutcome]]) -> None:
        """Cache the completions, then pass all outcomes on; called in the backend's thread."""
        try:
            if self._cache:
                pairs = ((self._in_flight[ticket], outcome) for ticket, outcome in outcomes)
                self._cache.put(
                    [(q.key, q.request, o) for q, o in pairs if isinstance(o, Completion)]
                )
        except Exception as error:  # raised again by `collect`
            self._delivery_error = error
        self._delivered.extend(outcomes)

    def _handle_completion(self, queued: _QueuedRequest[Caller], completion: Completion) -> None:
        used = self._budget.spend(queued.request, completion)
        self._rate_limiter.correct_tokens(queued.estimate.total, used.total)
        self._rate_limiter.record_success(queued.sent)
        self._consecutive_failures = 0
        self.progress.prompt_tokens += round(used.prompt)
        self.progress.completion_tokens += round(used.completion)
        self.progress.cost = self._budget.cost
        self._count_completion(queued.request, completion)
        self._finish(queued, completion)

    def _handle_failure(self, queued: _QueuedRequest[Caller], failed: FailedRequest) -> None:
        self._rate_limiter.correct_tokens(queued.estimate.total, 0)
        if failed.fatal:
            raise SeqitError(failed.message)
        if failed.overloaded:
            self._rate_limiter.record_overload(queued.sent, failed.retry_after)
        queued.tries += 1
        if failed.retryable and queued.tries <= self._retries:
            self.progress.retries += 1
            wait = backoff(queued.tries, self._jitter, failed.retry_after)
            heapq.heappush(self._retry_heap, (time.monotonic() + wait, queued.ticket, queued))
            return
        if failed.retryable:
            self._consecutive_failures += 1
            if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
                raise SeqitError(
                    f"{self._consecutive_failures} requests in a row have failed for good, the "
                    f"last one with: {failed.message}. What was received is kept in the cache: run "
                    "the same command again to go on"
                )
        self._finish(queued, failed)

    def _finish(self, queued: _QueuedRequest[Caller], outcome: RequestOutcome) -> None:
        del self._unfinished[queued.key]
        self._finished += [(caller, outcome) for caller in queued.callers]

    def _count_completion(self, request: Request, completion: Completion) -> None:
        self.progress.requests += 1
        if self._on_completion:
            self._on_completion(request, completion)
