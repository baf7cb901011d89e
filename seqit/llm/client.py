"""A model at work: what engines see of a backend, its dispatcher and its cache."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from seqit.llm.model_call import Asking, Reader, Unanswered, ask
from seqit.llm.request import Message, Request, Sampling
from seqit.records.record import Record

T = TypeVar("T")
Item = TypeVar("Item")


class Dispatch(Protocol):
    """Runs the work of many items side by side; yields in the items' order."""

    def run(
        self, items: Iterable[Item], work: Callable[[Item], Asking[T]]
    ) -> Iterator[tuple[Item, T | Unanswered]]: ...


@dataclass(frozen=True)
class Model:
    """Asks about records and runs the work of many; engines of every method take one.

    name: KIND:MODEL, for lineage. structured: answers match a JSON Schema where one is given.
    """

    name: str
    structured: bool
    sampling: Sampling
    dispatch: Dispatch = field(repr=False)

    def ask(
        self,
        record: Record,
        stage: str,
        messages: list[Message],
        read: Reader[T],
        *,
        seed: int,
        schema: dict[str, Any] | None = None,
        sampling: Sampling | None = None,
        logprobs: int = 0,
        attempts: int = 3,
    ) -> Asking[T]:
        """Ask one stage's question about a record, until `read` can read the completion.

        `schema` is dropped where the backend cannot honour it. Raises Unanswered.
        """
        request = Request(
            messages,
            sampling or self.sampling,
            seed=0,
            schema=schema if self.structured else None,
            logprobs=logprobs,
            record_id=record["id"],
            iteration=record["lineage"]["iteration"] + 1,
            stage=stage,
        )
        return (yield from ask(request, seed, read, attempts))

    def run(
        self, items: Iterable[Item], work: Callable[[Item], Asking[T]]
    ) -> Iterator[tuple[Item, T | Unanswered]]:
        """Yield each item with what its work returned, or why it has no answer, in order."""
        return self.dispatch.run(items, work)


class Alone:
    """Runs work that asks no model, item by item: the builtin teacher's dispatch."""

    def run(
        self, items: Iterable[Item], work: Callable[[Item], Asking[T]]
    ) -> Iterator[tuple[Item, T | Unanswered]]:
        """Yield each item with what its work returned."""
        for item in items:
            try:
                request = next(work(item))
            except StopIteration as end:
                yield item, end.value
            else:
                raise AssertionError(f"work that is to ask no model asks one at {request.stage}")
