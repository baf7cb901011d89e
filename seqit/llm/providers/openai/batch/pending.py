"""The requests of a batch run and the state of each, until its outcome is delivered."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome

MAX_SUBMISSIONS = 3
"""How often a request is submitted while its failure is retryable, as when its batch expired."""

Delivery = list[tuple[int, RequestOutcome]]
"""(ticket, outcome) pairs."""


@dataclass(slots=True)
class PendingRequest:
    """One request and the tickets that wait for its outcome."""

    request: Request
    tickets: list[int] = field(default_factory=list)
    line: int = 0  # in its batch, from 1
    tries: int = 0  # how often it was submitted


class PendingRequests:
    """Requests by cache key: `open` until finished, `unsubmitted` while not in a batch."""

    def __init__(self) -> None:
        self.open: dict[bytes, PendingRequest] = {}
        self.new: list[bytes] = []  # just added: an earlier run may have submitted them
        self.unsubmitted: deque[bytes] = deque()
        self.failed: list[bytes] = []
        self.completed: list[bytes] = []  # delivered since the last check that they are cached

    def add(self, key: bytes, request: Request, ticket: int) -> None:
        """Add a request; equal requests share one outcome."""
        if key not in self.open:
            self.open[key] = PendingRequest(request)
            self.new.append(key)
        self.open[key].tickets.append(ticket)

    def mark_submitted(self, keys: list[bytes]) -> None:
        """Record that these requests are the lines of a batch, in this order."""
        for line, key in enumerate(keys, 1):
            self.open[key].line = line
            self.open[key].tries += 1

    def in_line_order(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return keys of one batch in the order of its lines."""
        return sorted(keys, key=lambda key: self.open[key].line)

    def resolve(self, key: bytes, outcome: RequestOutcome) -> Delivery:
        """Return what to deliver for an outcome; nothing if the request will be submitted again."""
        tries = self.open[key].tries
        if isinstance(outcome, FailedRequest) and outcome.retryable:
            if tries < MAX_SUBMISSIONS:
                self.unsubmitted.append(key)
                return []
            message = f"{outcome.message}; submitted {tries} times"
            outcome = replace(outcome, message=message, retryable=False, overloaded=False)
        return self.finish(key, outcome)

    def finish(self, key: bytes, outcome: RequestOutcome) -> Delivery:
        """Close a request; returns its outcome for each of its tickets."""
        (self.completed if isinstance(outcome, Completion) else self.failed).append(key)
        return [(ticket, outcome) for ticket in self.open.pop(key).tickets]
