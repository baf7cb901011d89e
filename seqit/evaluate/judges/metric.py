"""What an LLM judge is asked about one response: each metric has a prompt, a form and a parser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from seqit.evaluate.judges.candidate import Candidate, full_instruction, numbered_list
from seqit.evaluate.judges.output_form import JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion, Message, RequestOutcome
from seqit.records.record import Record

T = TypeVar("T")
AddScore = Callable[[Candidate], None]
"""Adds the scores of one judgement to a candidate."""


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """The judge model, the seed of the run, and which vote this is."""

    model: ModelClient
    seed: int
    vote: int = 0  # from 1; 0 if there is only one
    references: bool = True  # whether the judge is shown the item's reference answer
    weighted: bool = False  # whether the probabilities of the score are requested too

    @property
    def score_fields(self) -> dict[str, Any]:
        """Fields of every score of this vote."""
        return {"vote": self.vote}


class JudgeMetric(Protocol):
    """A metric that an LLM judge scores; `metric` is its name in the scores."""

    @property
    def metric(self) -> str: ...

    def judge(self, context: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask the judge; raises CompletionFailed if it gives no judgement."""
        ...

    def add_unscored(
        self, context: JudgeContext, candidate: Candidate, failure: CompletionFailed
    ) -> None:
        """Add to the candidate the score rows for a missing judgement."""
        ...


def instruction_texts(context: JudgeContext, candidate: Candidate) -> dict[str, str]:
    """Return the instruction, and its tasks and reference if there are any, by slot name."""
    item = candidate.item
    texts = {"instruction": full_instruction(item)}
    if len(candidate.chain) > 1:
        texts["tasks"] = numbered_list(candidate.chain)
    if context.references and item["output"].strip():
        texts["reference"] = item["output"]
    return texts


def complete_judgement(
    context: JudgeContext,
    candidate: Candidate,
    stage: str,
    form: JudgeOutputForm,
    texts: Mapping[str, str],
    *,
    unframed: Mapping[str, str] | None = None,
    logprobs: int = 0,
) -> ModelCall[tuple[JudgeOutput, Completion]]:
    """Ask the judge with the prompt named `stage`; return its parsed output and the completion.

    texts, unframed: values of the prompt's slots, see JudgePrompt.render.
    """
    messages = load_prompt(stage).render(
        texts,
        form.instructions(context.model.structured),
        images=candidate.item.get("images", ()),
        unframed=unframed,
    )
    call = complete_for_item(
        context,
        stage,
        messages,
        form.parse,
        key=candidate.key,
        item=candidate.item,
        schema=form.schema,
        logprobs=logprobs,
    )
    return (yield from with_completion(call))


def complete_for_item(
    context: JudgeContext,
    stage: str,
    messages: list[Message],
    parse: Callable[[str], T],
    *,
    key: str,
    item: Record,
    schema: dict[str, Any],
    logprobs: int = 0,
) -> ModelCall[T]:
    """Complete messages about an item; the seeds depend on `key`, the stage and the vote."""
    record = cast(Record, {"id": key, "lineage": item["lineage"]})
    stage_of_vote = f"{stage} {context.vote}" if context.vote > 1 else stage
    return (
        yield from context.model.complete(
            record,
            stage_of_vote,
            messages,
            parse,
            seed=context.seed,
            schema=schema,
            logprobs=logprobs,
        )
    )


def with_completion(call: ModelCall[T]) -> ModelCall[tuple[T, Completion]]:
    """Return the result of a call, and the completion that it was parsed from."""
    outcome: RequestOutcome | None = None
    try:
        request = next(call)
        while True:
            outcome = yield request
            request = call.send(outcome)
    except StopIteration as end:
        assert isinstance(outcome, Completion)
        return end.value, outcome
