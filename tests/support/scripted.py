"""A model whose answers are written in the test: no server, no threads, no randomness."""

from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed
from seqit.llm.request import Completion, Sampling


class ScriptedRunner:
    """A CallRunner that answers each request with what `reply(request)` returns.

    `reply` returns a text, a Completion or a FailedRequest. `requests` are those made, in order.
    """

    def __init__(self, reply):
        self._reply = reply
        self.requests = []

    def run(self, items, make_call):
        for item in items:
            yield item, self._complete(make_call(item))

    def _complete(self, call):
        try:
            request = next(call)
            while True:
                self.requests.append(request)
                outcome = self._reply(request)
                if isinstance(outcome, str):
                    outcome = Completion(outcome, "stop")
                request = call.send(outcome)
        except StopIteration as end:
            return end.value
        except CompletionFailed as failure:
            return failure


def scripted_model(reply, structured=False, name="openai:scripted"):
    """Return a ModelClient with a ScriptedRunner; its requests are in `model.runner.requests`."""
    return ModelClient(name, structured, Sampling(), ScriptedRunner(reply))
