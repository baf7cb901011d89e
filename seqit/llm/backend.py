"""What a backend is: it takes requests, as many as it can hold, and delivers answers."""

from collections.abc import Callable
from typing import Any, Protocol

from seqit.llm.request import Request, RequestOutcome

Deliver = Callable[[list[tuple[int, RequestOutcome]]], None]
"""Takes (ticket, answer) pairs as soon as they are there; may be called from any one thread."""


class Backend(Protocol):
    """Answers requests; order, retries, limits and the cache are the dispatcher's business.

    A backend answers each submitted request exactly once, with a Completion or a Failed, and
    never raises for one request: a bad one fails alone.
    """

    @property
    def name(self) -> str:
        """KIND:MODEL, as it goes to lineage."""
        ...

    @property
    def capacity(self) -> int:
        """How many requests it can use at once; 0: as many as the user permits."""
        ...

    @property
    def structured(self) -> bool:
        """Whether it makes the answer match Request.schema."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return all that decides an answer beside the request, as plain JSON without secrets.

        Kind, base URL, model and revision, chat template, precision, adapter.
        """
        ...

    def open(self, deliver: Deliver) -> None:
        """Begin: load the model, or connect. Raises SeqitError, with what to do."""
        ...

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Take requests, each with its ticket; returns at once."""
        ...

    def wait(self, timeout: float | None) -> None:
        """Return after something was delivered, `wake` was called, or so many seconds passed."""
        ...

    def wake(self) -> None:
        """Make a `wait` in another thread return; harmless where none waits."""
        ...

    def close(self) -> None:
        """Drop what is in flight and free all that was taken; harmless when repeated."""
        ...
