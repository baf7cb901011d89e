"""Call the model for one stage: prompt, examples in random order, and a strict parser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from seqit.augment.form import AnswerForm, FieldValues, TaggedForm
from seqit.augment.prompt import load_prompt
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall
from seqit.llm.request import Sampling
from seqit.records.identity import rng_for
from seqit.records.record import Record

T = TypeVar("T")

OutputFormat = Callable[[TaggedForm], AnswerForm]
"""Turns a stage's form into the answer format that the model is asked to write."""


def default_format(form: TaggedForm) -> AnswerForm:
    """Return the form itself: answers are written with its tags, or as JSON."""
    return form


@dataclass(frozen=True)
class StageCaller:
    """Calls the model about one record; shared by all stages."""

    model: ModelClient
    record: Record
    seed: int
    output_format: OutputFormat

    def complete(
        self,
        stage: str,
        prompt: str,
        values: Mapping[str, str],
        form: TaggedForm,
        parse: Callable[[FieldValues], T],
        *,
        sampling: Sampling | None = None,
    ) -> ModelCall[T]:
        """Return what `parse` makes of the answer's fields; raises CompletionFailed.

        The model is called again, within the limit of attempts, if `parse` raises ParseError or
        CheckFailed.
        """
        answer_form = self.output_format(form)
        structured = self.model.structured and answer_form.schema is not None
        iteration = self.record["lineage"]["iteration"] + 1
        rng = rng_for(self.seed, self.record["id"], iteration, f"{stage} examples")
        return (
            yield from self.model.complete(
                self.record,
                stage,
                load_prompt(prompt).messages(values, answer_form, structured, rng),
                lambda text: parse(answer_form.parse(text, structured)),
                seed=self.seed,
                schema=answer_form.schema,
                sampling=sampling,
            )
        )
