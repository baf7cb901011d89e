"""A backend in this process whose answers, delays and order a test decides."""

import threading

from seqit.llm.request import Completion


class FakeBackend:
    """Answers with `reply(request)`: a text, a Completion, a Failed, or None for never.

    Waiting requests are answered `each` at a time, in an order that `choose(waiting)` decides;
    in a thread of its own when `threaded`, else where the dispatcher waits.
    """

    structured = False
    capacity = 0

    def __init__(self, reply, *, each=1, choose=lambda waiting: 0, name="openai:fake"):
        self.name = name
        self.asked = []
        self.most = 0  # in flight at once
        self._reply, self._each, self._choose = reply, each, choose
        self._waiting = []
        self._event = threading.Event()

    def identity(self):
        return {"kind": "fake", "model": self.name}

    def open(self, deliver):
        self._deliver = deliver

    def submit(self, batch):
        self.asked += [request for _, request in batch]
        self._waiting += batch
        self.most = max(self.most, len(self._waiting))

    def wait(self, timeout):
        answers = []
        while self._waiting and len(answers) < self._each:
            ticket, request = self._waiting.pop(self._choose(self._waiting))
            answer = self._reply(request)
            if answer is not None:
                answers.append(
                    (
                        ticket,
                        Completion(answer, "stop", 5, 3) if isinstance(answer, str) else answer,
                    )
                )
        if answers:
            self._deliver(answers)
        else:
            self._event.wait(timeout)
            self._event.clear()

    def wake(self):
        self._event.set()

    def close(self):
        self._waiting.clear()
