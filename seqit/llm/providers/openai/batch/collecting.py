"""Collects what became of a batch, request by request."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.answers import (
    errors_of,
    lines_of,
    no_line,
    queue_is_full,
    read_line,
    sentence,
    status_of,
)
from seqit.llm.providers.openai.batch.api import BatchAPI
from seqit.llm.providers.openai.batch.requests import Delivery, PendingRequests
from seqit.llm.providers.openai.batch.store import Batch, BatchStore
from seqit.llm.request import FailedRequest, RequestOutcome

_CHUNK = 256  # answers


@dataclass(slots=True)
class SubmittedBatch:
    """A batch at the provider: its requests that are open, and how it stood when last seen."""

    batch: Batch
    keys: set[bytes] = field(default_factory=set)
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collector:
    """Reads ended batches; what may succeed later becomes fresh again."""

    requests: PendingRequests
    ledger: BatchStore
    api: BatchAPI
    asks: OpenAIBackend

    def collect(self, lying: SubmittedBatch) -> Iterator[Delivery]:
        """Yield the answers of an ended batch in chunks, some of them empty.

        Raises Uncertain where a file cannot be read to its end; what was yielded is right.
        """
        if status_of(lying.seen) == "failed":
            yield from self._not_accepted(lying)
            return
        chunk: Delivery = []
        fatal: list[tuple[bytes, RequestOutcome]] = []
        for key, line in lines_of(self.api, lying.seen, lying.keys):
            answer = self._read(lying.batch, key, line)
            if isinstance(answer, FailedRequest) and answer.fatal:
                fatal.append((key, answer))
                continue
            chunk += self.requests.settle(key, answer)
            if len(chunk) >= _CHUNK:
                yield chunk
                chunk = []
        for key in self.requests.in_order(lying.keys):
            chunk += self.requests.settle(key, no_line(status_of(lying.seen)))
        yield chunk
        yield self._given_up(fatal)  # last: it ends the run

    def _not_accepted(self, lying: SubmittedBatch) -> Iterator[Delivery]:
        """Yield the failures of a batch of which nothing was done."""
        errors = errors_of(lying.seen)
        keys = self.requests.in_order(lying.keys)
        if queue_is_full(errors) and len(keys) > 1:
            self.ledger.refuse(lying.batch.number, len(keys))
            self.requests.fresh.extend(keys)
            return
        faults = {error.get("line"): error for error in errors}
        bad = {key for key in keys if self.requests.open[key].line in faults}
        if not bad:
            said = f"batch {lying.batch.id} was not accepted: {sentence(errors)}"
            full = queue_is_full(errors)
            failed = FailedRequest("rate-limited" if full else "config", said, fatal=not full)
            yield self._given_up([(key, failed) for key in keys])
            return
        for key in keys:
            if key in bad:
                said = sentence([faults[self.requests.open[key].line]])
                yield self.requests.finish(key, FailedRequest("bad-request", said))
            else:
                self.requests.open[key].tries -= 1  # it had no part in it
                self.requests.fresh.append(key)

    def _given_up(self, failures: list[tuple[bytes, RequestOutcome]]) -> Delivery:
        """Forget at once what is wrong with all of the run: it may be mended before the next."""
        self.ledger.forget(key for key, _ in failures)
        return [each for key, answer in failures for each in self.requests.finish(key, answer)]

    def _read(self, batch: Batch, key: bytes, line: dict[str, Any]) -> RequestOutcome:
        answer = read_line(line, self.asks, self.requests.open[key].request)
        if isinstance(answer, FailedRequest):
            return replace(answer, evidence={**answer.evidence, "batch": batch.id})
        return answer
