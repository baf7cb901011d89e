"""Requests on their way: within the limits, again where that may help, each paid for once."""

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

Asker = TypeVar("Asker")

MOST_LOST = 32
"""Requests in a row that no retry has saved, and none between them answered: nobody is there."""

NOTHING = TokenCount()


@dataclass(slots=True)
class Progress:
    """What was done so far. Tokens and cost are those of this run's own completions."""

    items: int = 0
    requests: int = 0  # answered, also from the cache
    cached: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None  # US dollars; None where the model has no price


@dataclass(slots=True, eq=False)
class _Question(Generic[Asker]):
    """One request under way, and all who wait for its answer."""

    ticket: int
    key: bytes
    request: Request
    place: int  # of those that may be sent, the least goes first
    askers: list[Asker]
    estimate: TokenCount = NOTHING
    tries: int = 0  # how often it has failed
    sent: int = 0  # the number that the pace gave it


class Sender(Generic[Asker]):
    """Takes requests, and gives each asker the answer that stands at the end of all tries.

    What the backend delivers, from whatever thread, is in the cache before anything else happens
    to it. Requests that are alike are sent once. `record` is told every completion, once.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        cache: Cache | None,
        pace: RateLimiter,
        budget: Budget,
        retries: int,
        record: Callable[[Request, Completion], None] | None = None,
    ) -> None:
        self.progress = Progress(cost=budget.cost)
        self.wake = backend.wake
        self._backend = backend
        self._cache = cache
        self.key = cache.key if cache else CacheKeys(backend.identity()).key
        self._pace = pace
        self._budget = budget
        self._retries = retries
        self._record = record
        self._tickets = itertools.count()
        self._open: dict[bytes, _Question[Asker]] = {}  # by key: not settled yet
        self._sent: dict[int, _Question[Asker]] = {}  # by ticket: in flight
        self._queue: list[tuple[int, int, _Question[Asker]]] = []  # heap: as soon as may be
        self._later: list[tuple[float, int, _Question[Asker]]] = []  # heap: to be sent again
        self._inbox: deque[tuple[int, RequestOutcome]] = deque()
        self._settled: list[tuple[Asker, RequestOutcome]] = []
        self._broken: Exception | None = None  # met in the backend's thread
        self._in_flight = TokenCount()  # estimated
        self._over = ""  # why no more may be spent
        self._lost = 0  # requests given up in a row, with no completion between them
        self._jitter = Random()  # it decides when, never what

    def open(self) -> None:
        """Open the backend; raises SeqitError where it cannot begin."""
        self._backend.open(self._deliver)

    def close(self) -> None:
        """Drop what is in flight, and close backend and cache; harmless when repeated."""
        self._backend.close()
        if self._cache:
            self._cache.close()

    def ask(self, request: Request, asker: Asker, place: int = 0) -> RequestOutcome | None:
        """Return the answer where it is known; None where `settle` will give it to `asker`.

        Of the requests that wait to be sent, the one with the least `place` goes first.
        """
        key = self.key(request)
        if question := self._open.get(key):
            question.askers.append(asker)
            return None
        if known := self._cache.get(key) if self._cache else None:
            self.progress.cached += 1
            self._answered(request, known)
            return known
        question = _Question(next(self._tickets), key, request, place, [asker])
        self._open[key] = question
        self._enqueue(question)
        return None

    def _enqueue(self, question: _Question[Asker]) -> None:
        heapq.heappush(self._queue, (question.place, question.ticket, question))

    def send(self) -> None:
        """Submit what the limits permit; what the budget does not permit is settled as failed."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._enqueue(heapq.heappop(self._later)[2])
        batch = []
        while self._queue and self._may_send(self._queue[0][-1]):
            question = heapq.heappop(self._queue)[-1]
            question.sent = self._pace.spend(question.estimate.total)
            self._in_flight = self._in_flight.plus(question.estimate)
            self._sent[question.ticket] = question
            batch.append((question.ticket, question.request))
        if batch:
            self._backend.submit(batch)
        while self._over and self._queue:
            self._settle(heapq.heappop(self._queue)[-1], FailedRequest("budget", self._over))

    def _may_send(self, question: _Question[Asker]) -> bool:
        """Tell whether the next request may go now; the budget stops all, once it is used up."""
        if self._over or len(self._sent) >= self._pace.limit:
            return False
        # Not earlier: the estimates learn from each answer.
        estimate = question.estimate = self._budget.estimate(question.request)
        if not self._pace.allowance(len(self._sent), estimate.total):
            return False
        if self._budget.may_send(estimate, self._in_flight):
            return True
        if not self._sent:  # else what is in flight may yet take less than it was estimated at
            self._over = self._budget.reason(estimate)
        return False

    def settle(self) -> list[tuple[Asker, RequestOutcome]]:
        """Return the answers that stand since the last call, one for each who asked.

        Raises SeqitError where no further request can succeed.
        """
        while self._inbox:
            ticket, answer = self._inbox.popleft()
            question = self._sent.pop(ticket)
            self._in_flight = self._in_flight.minus(question.estimate)
            if isinstance(answer, Completion):
                self._completed(question, answer)
            else:
                self._failed(question, answer)
        if self._broken:
            raise self._broken
        settled, self._settled = self._settled, []
        return settled

    def wait(self, longest: float | None) -> None:
        """Wait until something arrives, or may be sent, or for `longest` seconds."""
        if self._settled or self._inbox:
            return
        now = time.monotonic()
        times = [] if longest is None else [now + longest]
        if self._later:
            times.append(self._later[0][0])
        if self._queue:
            at = self._pace.next_time(self._queue[0][-1].estimate.total)
            times += [] if at is None else [at]
        self._backend.wait(max(0.0, min(times) - now) if times else None)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Drop the completions of these requests, so that the next run asks for them anew."""
        if self._cache:
            self._cache.forget(keys)

    def _deliver(self, answers: list[tuple[int, RequestOutcome]]) -> None:
        """Keep completions, then pass all on; called in the backend's thread."""
        try:
            if self._cache:
                told = ((self._sent[ticket], answer) for ticket, answer in answers)
                self._cache.put(
                    [(q.key, q.request, a) for q, a in told if isinstance(a, Completion)]
                )
        except Exception as error:  # raised where the run goes on
            self._broken = error
        self._inbox.extend(answers)

    def _completed(self, question: _Question[Asker], completion: Completion) -> None:
        used = self._budget.spend(question.request, completion)
        self._pace.settle(question.estimate.total, used.total)
        self._pace.succeeded(question.sent)
        self._lost = 0
        self.progress.prompt_tokens += round(used.prompt)
        self.progress.completion_tokens += round(used.completion)
        self.progress.cost = self._budget.cost
        self._answered(question.request, completion)
        self._settle(question, completion)

    def _failed(self, question: _Question[Asker], failed: FailedRequest) -> None:
        self._pace.settle(question.estimate.total, 0)
        if failed.fatal:
            raise SeqitError(failed.message)
        if failed.overloaded:
            self._pace.overloaded(question.sent, failed.retry_after)
        question.tries += 1
        if failed.retryable and question.tries <= self._retries:
            self.progress.retries += 1
            wait = backoff(question.tries, self._jitter, failed.retry_after)
            entry = (time.monotonic() + wait, question.ticket, question)
            heapq.heappush(self._later, entry)
            return
        if failed.retryable:
            self._lost += 1
            if self._lost >= MOST_LOST:
                raise SeqitError(
                    f"{self._lost} requests in a row have failed for good, the last one so: "
                    f"{failed.message}. What was received is kept: the same command goes on"
                )
        self._settle(question, failed)

    def _settle(self, question: _Question[Asker], answer: RequestOutcome) -> None:
        del self._open[question.key]
        self._settled += [(asker, answer) for asker in question.askers]

    def _answered(self, request: Request, completion: Completion) -> None:
        self.progress.requests += 1
        if self._record:
            self._record(request, completion)
