"""The requests of a run that asks by batches: where each stands, from the asking to its answer."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome

TRIES = 3
"""How often a request is submitted when it may succeed later: its batch expired, say."""

Delivery = list[tuple[int, RequestOutcome]]
"""(ticket, answer) pairs."""


@dataclass(slots=True)
class PendingRequest:
    """One request, and all the tickets that wait for its answer."""

    request: Request
    tickets: list[int] = field(default_factory=list)
    line: int = 0  # in its batch, from 1
    tries: int = 0  # how often it was submitted


class PendingRequests:
    """Requests by the cache's key: open until they are finished, fresh while no batch has them."""

    def __init__(self) -> None:
        self.open: dict[bytes, PendingRequest] = {}
        self.new: list[bytes] = []  # just asked: an earlier run may have put them into a batch
        self.fresh: deque[bytes] = deque()
        self.failed: list[bytes] = []
        self.completed: list[bytes] = []  # and perhaps not kept yet

    def ask(self, key: bytes, request: Request, ticket: int) -> None:
        """Take a request; who asks the same shares its answer."""
        if key not in self.open:
            self.open[key] = PendingRequest(request)
            self.new.append(key)
        self.open[key].tickets.append(ticket)

    def submitted(self, keys: list[bytes]) -> None:
        """Note that these lie in a batch now, in this order."""
        for line, key in enumerate(keys, 1):
            self.open[key].line = line
            self.open[key].tries += 1

    def in_order(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return keys of one batch in the order of its lines."""
        return sorted(keys, key=lambda key: self.open[key].line)

    def settle(self, key: bytes, answer: RequestOutcome) -> Delivery:
        """Return what to deliver; nothing where the request is to be submitted again."""
        tries = self.open[key].tries
        if isinstance(answer, FailedRequest) and answer.retryable:
            if tries < TRIES:
                self.fresh.append(key)
                return []
            said = f"{answer.message}; submitted {tries} times"
            answer = replace(answer, message=said, retryable=False, overloaded=False)
        return self.finish(key, answer)

    def finish(self, key: bytes, answer: RequestOutcome) -> Delivery:
        """Return the answer for each of the tickets; the request is open no more."""
        (self.completed if isinstance(answer, Completion) else self.failed).append(key)
        return [(ticket, answer) for ticket in self.open.pop(key).tickets]
