"""A model whose answers a test writes: no server, no threads, no chance."""

from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed
from seqit.llm.request import Completion, Sampling


class Scripted:
    """A dispatch that answers each request with what `reply(request)` returns.

    `reply` returns a text, a Completion or a Failed. `requests` keeps what was asked, in order.
    """

    def __init__(self, reply):
        self._reply = reply
        self.requests = []

    def run(self, items, work):
        for item in items:
            yield item, self._drive(work(item))

    def _drive(self, asking):
        try:
            request = next(asking)
            while True:
                self.requests.append(request)
                answer = self._reply(request)
                if isinstance(answer, str):
                    answer = Completion(answer, "stop")
                request = asking.send(answer)
        except StopIteration as end:
            return end.value
        except CompletionFailed as failure:
            return failure


def scripted_model(reply, structured=False, name="openai:scripted"):
    """Return a ModelClient whose dispatch is Scripted; its requests are in model.dispatch.requests."""
    return ModelClient(name, structured, Sampling(), Scripted(reply))
