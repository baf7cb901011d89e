"""The protocol of a backend, which takes requests and delivers their outcomes."""

from collections.abc import Callable
from typing import Any, Protocol

from seqit.llm.request import Request, RequestOutcome

Deliver = Callable[[list[tuple[int, RequestOutcome]]], None]
"""Called with (ticket, outcome) pairs as they arrive, from one thread, not always the caller's."""


class Backend(Protocol):
    """Completes requests; the scheduler is responsible for order, retries, limits and the cache.

    A backend delivers exactly one Completion or FailedRequest for each submitted request, and
    never raises for a single request.
    """

    @property
    def name(self) -> str:
        """KIND:MODEL, as written to the lineage."""
        ...

    @property
    def capacity(self) -> int:
        """How many requests it can process at once; 0: as many as the user permits."""
        ...

    @property
    def structured(self) -> bool:
        """Whether completions match Request.schema."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return everything besides the request that decides a completion, without secrets.

        JSON values: kind, base URL, model and revision, chat template, precision, adapter.
        """
        ...

    def open(self, deliver: Deliver) -> None:
        """Load the model or connect. Raises SeqitError that says what to do."""
        ...

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests, each with its ticket; returns at once."""
        ...

    def wait(self, timeout: float | None) -> None:
        """Return after a delivery, a call of `wake`, or `timeout` seconds."""
        ...

    def wake(self) -> None:
        """Make a `wait` in another thread return, or else the next one."""
        ...

    def close(self) -> None:
        """Drop what is in flight and free all resources; may be called twice."""
        ...
