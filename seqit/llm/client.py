"""The interface through which the methods of augment and evaluate use a model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from seqit.llm.model_call import CompletionFailed, ModelCall, Parser, complete_with_retries
from seqit.llm.request import Message, Request, Sampling
from seqit.records.record import Record

T = TypeVar("T")
Item = TypeVar("Item")


class CallRunner(Protocol):
    """Runs the model calls of many items concurrently; yields in the items' order."""

    def run(
        self, items: Iterable[Item], make_call: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]: ...


@dataclass(frozen=True)
class ModelClient:
    """Completes prompts about records, and runs the calls of many records concurrently.

    name: KIND:MODEL, for the lineage. structured: completions match the JSON Schema if one is
    given.
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
        parse: Parser[T],
        *,
        seed: int,
        schema: dict[str, Any] | None = None,
        sampling: Sampling | None = None,
        logprobs: int = 0,
        attempts: int = 3,
    ) -> ModelCall[T]:
        """Complete one stage's prompt about a record, with retries until `parse` succeeds.

        `schema` is dropped if the backend does not support it. Raises CompletionFailed.
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
        return (yield from complete_with_retries(request, seed, parse, attempts))

    def run(
        self, items: Iterable[Item], make_call: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its call returned, or the CompletionFailed, in order."""
        return self.runner.run(items, make_call)


class NoModelRunner:
    """A CallRunner for calls that make no request, such as those of the builtin teacher."""

    def run(
        self, items: Iterable[Item], make_call: Callable[[Item], ModelCall[T]]
    ) -> Iterator[tuple[Item, T | CompletionFailed]]:
        """Yield each item with what its call returned; raises AssertionError for a request."""
        for item in items:
            try:
                request = next(make_call(item))
            except StopIteration as end:
                yield item, end.value
            else:
                raise AssertionError(f"a call without a model made a request at {request.stage}")
