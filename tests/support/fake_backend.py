"""A backend in this process whose outcomes, delays and order are decided by the test."""

import threading

from seqit.llm.request import Completion


class FakeBackend:
    """Answers with `reply(request)`: a text, a Completion, a FailedRequest, or None for never.

    Each `wait` answers `batch_size` waiting requests, in an order that `choose(waiting)` decides;
    if it has none, it calls `idle` and blocks.
    """

    structured = False
    capacity = 0

    def __init__(self, reply, *, batch_size=1, choose=lambda waiting: 0, name="openai:fake"):
        self.name = name
        self.requests = []
        self.max_in_flight = 0
        self._reply, self._batch_size, self._choose = reply, batch_size, choose
        self._waiting = []
        self.idle = lambda: None
        self._event = threading.Event()

    def identity(self):
        return {"kind": "fake", "model": self.name}

    def open(self, deliver):
        self._deliver = deliver

    def submit(self, batch):
        self.requests += [request for _, request in batch]
        self._waiting += batch
        self.max_in_flight = max(self.max_in_flight, len(self._waiting))

    def wait(self, timeout):
        outcomes = []
        while self._waiting and len(outcomes) < self._batch_size:
            ticket, request = self._waiting.pop(self._choose(self._waiting))
            outcome = self._reply(request)
            if isinstance(outcome, str):
                outcome = Completion(outcome, "stop", 5, 3)
            if outcome is not None:
                outcomes.append((ticket, outcome))
        if outcomes:
            self._deliver(outcomes)
        else:
            self.idle()
            self._event.wait(timeout)
            self._event.clear()

    def wake(self):
        self._event.set()

    def close(self):
        self._waiting.clear()
