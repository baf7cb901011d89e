"""Collects the outcomes of an ended batch, request by request."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.batch.api import BatchAPI
from seqit.llm.providers.openai.batch.pending import Delivery, PendingRequests
from seqit.llm.providers.openai.batch.results import (
    error_summary,
    errors_of,
    is_queue_full,
    missing_line_failure,
    parse_line,
    read_lines,
    status_of,
)
from seqit.llm.providers.openai.batch.store import Batch, BatchStore
from seqit.llm.request import FailedRequest, RequestOutcome

_CHUNK_SIZE = 256  # outcomes


@dataclass(slots=True)
class SubmittedBatch:
    """A batch at the provider: its open requests, and the provider's object when last polled."""

    batch: Batch
    keys: set[bytes] = field(default_factory=set)
    latest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collector:
    """Reads ended batches; requests whose failure is retryable become unsubmitted again."""

    requests: PendingRequests
    store: BatchStore
    api: BatchAPI
    chat_backend: OpenAIBackend

    def collect(self, submitted: SubmittedBatch) -> Iterator[Delivery]:
        """Yield the outcomes of an ended batch in chunks, some of them empty.

        Raises UnknownResult if a file cannot be read completely; what was yielded is valid.
        """
        if status_of(submitted.latest) == "failed":
            yield from self._collect_refused(submitted)
            return
        chunk: Delivery = []
        fatal: list[tuple[bytes, RequestOutcome]] = []
        for key, line in read_lines(self.api, submitted.latest, submitted.keys):
            outcome = self._parse(submitted.batch, key, line)
            if isinstance(outcome, FailedRequest) and outcome.fatal:
                fatal.append((key, outcome))
                continue
            chunk += self.requests.resolve(key, outcome)
            if len(chunk) >= _CHUNK_SIZE:
                yield chunk
                chunk = []
        missing = missing_line_failure(status_of(submitted.latest))
        for key in self.requests.in_line_order(submitted.keys):
            chunk += self.requests.resolve(key, missing)
        yield chunk
        yield self._fail_for_good(fatal)  # last, since it ends the run

    def _collect_refused(self, submitted: SubmittedBatch) -> Iterator[Delivery]:
        """Yield the failures of a batch that the provider did not accept."""
        errors = errors_of(submitted.latest)
        keys = self.requests.in_line_order(submitted.keys)
        if is_queue_full(errors) and len(keys) > 1:
            self.store.refuse(submitted.batch.number, len(keys))
            self.requests.unsubmitted.extend(keys)
            return
        error_at = {error.get("line"): error for error in errors}
        invalid = {key for key in keys if self.requests.open[key].line in error_at}
        if not invalid:
            message = f"batch {submitted.batch.id} was not accepted: {error_summary(errors)}"
            is_full = is_queue_full(errors)
            reason = "rate-limited" if is_full else "config"
            failed = FailedRequest(reason, message, fatal=not is_full)
            yield self._fail_for_good([(key, failed) for key in keys])
            return
        for key in keys:
            if key in invalid:
                message = error_summary([error_at[self.requests.open[key].line]])
                yield self.requests.finish(key, FailedRequest("bad-request", message))
            else:
                self.requests.open[key].tries -= 1  # the failure was not its own
                self.requests.unsubmitted.append(key)

    def _fail_for_good(self, failures: list[tuple[bytes, RequestOutcome]]) -> Delivery:
        """Forget the submission of requests that fail for the whole run: the next may succeed."""
        self.store.forget(key for key, _ in failures)
        return [pair for key, outcome in failures for pair in self.requests.finish(key, outcome)]

    def _parse(self, batch: Batch, key: bytes, line: dict[str, Any]) -> RequestOutcome:
        outcome = parse_line(line, self.chat_backend, self.requests.open[key].request)
        if isinstance(outcome, FailedRequest):
            return replace(outcome, evidence={**outcome.evidence, "batch": batch.id})
        return outcome
