"""A model at work: what engines see of a backend, its dispatcher and its cache."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from seqit.llm.model_call import CompletionFailed, ModelCall, Parser, complete_with_retries
from seqit.llm.request import Message, Request, Sampling
from seqit.records.record import Record

T = TypeVar("T")
Item = TypeVar("Item")


class CallRunner(Protocol):
    """Runs the work of many items side by side; yields in the items' order."""

    def run(
        self, items: Iterable[Item], work: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]: ...


@dataclass(frozen=True)
class ModelClient:
    """Asks about records and runs the work of many; engines of every method take one.

    name: KIND:MODEL, for lineage. structured: answers match a JSON Schema where one is given.
    """

    name: str
    structured: bool
    sampling: Sampling
    runner: CallRunner = field(repr=False)

    def complete(
        self,
        record: Record,
        stage: str,
        messages: list[Message],
        read: Parser[T],
        *,
        seed: int,
        schema: dict[str, Any] | None = None,
        sampling: Sampling | None = None,
        logprobs: int = 0,
        attempts: int = 3,
    ) -> ModelCall[T]:
        """Ask one stage's question about a record, until `read` can read the completion.

        `schema` is dropped where the backend cannot honour it. Raises CompletionFailed.
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
        return (yield from complete_with_retries(request, seed, read, attempts))

    def run(
        self, items: Iterable[Item], work: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its work returned, or why it has no answer, in order."""
        return self.runner.run(items, work)


class WithoutModel:
    """Runs work that asks no model, item by item: the builtin teacher's dispatch."""

    def run(
        self, items: Iterable[Item], work: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its work returned."""
        for item in items:
            try:
                request = next(work(item))
            except StopIteration as end:
                yield item, end.value
            else:
                raise AssertionError(f"work that is to ask no model asks one at {request.stage}")
