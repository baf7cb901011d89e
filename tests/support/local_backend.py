"""Drives a backend that runs a model in this process in one thread, as the scheduler does."""

import itertools

from seqit.llm.request import Request, Sampling


class Session:
    """An opened backend; `complete` returns the outcomes in the order of the requests."""

    def __init__(self, backend):
        self.backend = backend
        self.deliveries = []  # the tickets of each delivery
        self._outcomes = {}
        self._tickets = itertools.count()
        backend.open(self._collect)

    def _collect(self, pairs):
        self.deliveries.append([ticket for ticket, _ in pairs])
        for ticket, outcome in pairs:
            assert ticket not in self._outcomes, "delivered twice"
            self._outcomes[ticket] = outcome

    def submit(self, requests):
        tickets = list(itertools.islice(self._tickets, len(requests)))
        self.backend.submit(list(zip(tickets, requests, strict=True)))
        return tickets

    def wait_for(self, tickets):
        while not self._outcomes.keys() >= set(tickets):
            self.backend.wait(60)
        return [self._outcomes[ticket] for ticket in tickets]

    def complete(self, requests):
        return self.wait_for(self.submit(requests))

    def complete_refilled(self, requests, slots):
        """Keep `slots` requests in flight, refilled after each wait; returns the outcomes."""
        waiting = list(reversed(requests))
        tickets = []
        while waiting or not self._outcomes.keys() >= set(tickets):
            busy = len(set(tickets) - self._outcomes.keys())
            more = [waiting.pop() for _ in range(min(slots - busy, len(waiting)))]
            tickets += self.submit(more)
            self.backend.wait(60)
        return [self._outcomes[ticket] for ticket in tickets]


def request(text, *, seed=0, system=None, schema=None, logprobs=0, **sampling):
    """Return a request with one user turn, by default for at most 24 new tokens."""
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    settings = Sampling(**{"max_new_tokens": 24, **sampling})
    return Request(messages, settings, seed, schema=schema, logprobs=logprobs)


def mixed_requests(count):
    """Return requests of different lengths, in several scripts, some of them greedy."""
    words = ("List rivers.", "Nenne Städte für mich.", "列出三个城市。", "Перечислите 🏙️ города.")
    return [
        request(
            " ".join([str(number), *words[: 1 + number % 4], "x" * (number * 7 % 60)]),
            seed=number,
            temperature=(0.0, 0.7, 1.0)[number % 3],
            top_k=(None, 0, 5)[number // 3 % 3],
            max_new_tokens=4 + number % 20,
        )
        for number in range(count)
    ]
