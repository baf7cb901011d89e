"""What a judge is asked about one response: one prompt, one form, one reading of it each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from seqit.evaluate.judges.candidate import Candidate, instruction_of, numbered
from seqit.evaluate.judges.output_form import JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion, Message, RequestOutcome
from seqit.records.record import Record

T = TypeVar("T")
AddScore = Callable[[Candidate], None]
"""Adds to a candidate the scores of one verdict."""


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """Where a judge sits: the model that judges, the run's seed, and which vote this is."""

    model: ModelClient
    seed: int
    vote: int = 0  # from 1; 0 where there is one alone
    references: bool = True  # whether the judge is shown the item's own answer
    weighted: bool = False  # whether the chances of the score are wanted too

    @property
    def about(self) -> dict[str, Any]:
        """What every score of this vote says."""
        return {"vote": self.vote}


class JudgeMetric(Protocol):
    """One thing to measure; `metric` is what its scores are called."""

    @property
    def metric(self) -> str: ...

    def ask(self, bench: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask the judge; raises CompletionFailed where it gives no verdict."""
        ...

    def unscored(self, bench: JudgeContext, candidate: Candidate, why: CompletionFailed) -> None:
        """Add to the candidate that there is no verdict."""
        ...


def material(bench: JudgeContext, candidate: Candidate) -> dict[str, str]:
    """Return the texts that belong to the instruction: tasks and reference where there are any."""
    item = candidate.item
    texts = {"instruction": instruction_of(item)}
    if len(candidate.chain) > 1:
        texts["tasks"] = numbered(candidate.chain)
    if bench.references and item["output"].strip():
        texts["reference"] = item["output"]
    return texts


def ask_judge(
    bench: JudgeContext,
    candidate: Candidate,
    stage: str,
    form: JudgeOutputForm,
    texts: Mapping[str, str],
    *,
    words: Mapping[str, str] | None = None,
    logprobs: int = 0,
) -> ModelCall[tuple[Any, Completion]]:
    """Ask the prompt of this name about the texts; return the verdict and how it was said."""
    model = bench.model
    prompt = load_prompt(stage)
    messages = prompt.messages(
        texts,
        form.guidance(model.structured),
        images=candidate.item.get("images", ()),
        words=words,
    )
    asking = ask_text(
        bench,
        stage,
        messages,
        form.read,
        key=candidate.key,
        item=candidate.item,
        schema=form.schema,
        logprobs=logprobs,
    )
    return (yield from observed(asking))


def ask_text(
    bench: JudgeContext,
    stage: str,
    messages: list[Message],
    read: Callable[[str], T],
    *,
    key: str,
    item: Record,
    schema: dict[str, Any],
    logprobs: int = 0,
) -> ModelCall[T]:
    """Ask a judge about something that `key` names; it draws its seeds by that and the vote."""
    named = cast(Record, {"id": key, "lineage": item["lineage"]})
    vote = f"{stage} {bench.vote}" if bench.vote > 1 else stage
    return (
        yield from bench.model.complete(
            named, vote, messages, read, seed=bench.seed, schema=schema, logprobs=logprobs
        )
    )


def observed(asking: ModelCall[T]) -> ModelCall[tuple[T, Completion]]:
    """Return what an asking returns, and the completion that it was read from."""
    answer: RequestOutcome | None = None
    try:
        request = next(asking)
        while True:
            answer = yield request
            request = asking.send(answer)
    except StopIteration as end:
        assert isinstance(answer, Completion)
        return end.value, answer
