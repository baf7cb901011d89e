"""One stage's question about a record: prompt, examples in drawn order, and a strict reader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from seqit.augment.form import AnswerForm, TaggedForm, Values
from seqit.augment.prompt import load_prompt
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.llm.request import Sampling
from seqit.records.identity import rng_for
from seqit.records.record import Record

T = TypeVar("T")

OutputFormat = Callable[[TaggedForm], AnswerForm]
"""Turns a form into the writing of it that the model is asked for."""


@dataclass(frozen=True)
class StageCaller:
    """Asks about one record; every stage shares it."""

    model: ModelClient
    record: Record
    seed: int
    shape: OutputFormat

    def complete(
        self,
        stage: str,
        prompt: str,
        values: Mapping[str, str],
        form: TaggedForm,
        judge: Callable[[Values], T],
        *,
        sampling: Sampling | None = None,
    ) -> ModelCall[T]:
        """Ask until `judge`, which raises Unreadable or Unfit, accepts an answer's fields."""
        shaped = self.shape(form)
        structured = self.model.structured and shaped.schema is not None
        iteration = self.record["lineage"]["iteration"] + 1
        lot = rng_for(self.seed, self.record["id"], iteration, f"{stage} examples")
        return (
            yield from self.model.complete(
                self.record,
                stage,
                load_prompt(prompt).messages(values, shaped, structured, lot),
                lambda text: judge(shaped.read(text, structured)),
                seed=self.seed,
                schema=shaped.schema,
                sampling=sampling,
            )
        )
