"""One stage's question about a record: prompt, examples in drawn order, and a strict reader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from seqit.augment.form import AnswerForm, Form, Values
from seqit.augment.prompt import load_prompt
from seqit.llm.client import Model
from seqit.llm.model_call import Asking
from seqit.llm.request import Sampling
from seqit.records.identity import draw
from seqit.records.record import Record

T = TypeVar("T")

Shape = Callable[[Form], AnswerForm]
"""Turns a form into the writing of it that the model is asked for."""


@dataclass(frozen=True)
class Questions:
    """Asks about one record; every stage shares it."""

    model: Model
    record: Record
    seed: int
    shape: Shape

    def ask(
        self,
        stage: str,
        prompt: str,
        values: Mapping[str, str],
        form: Form,
        judge: Callable[[Values], T],
        *,
        sampling: Sampling | None = None,
    ) -> Asking[T]:
        """Ask until `judge`, which raises Unreadable or Unfit, accepts an answer's fields."""
        shaped = self.shape(form)
        structured = self.model.structured and shaped.schema is not None
        iteration = self.record["lineage"]["iteration"] + 1
        lot = draw(self.seed, self.record["id"], iteration, f"{stage} examples")
        return (
            yield from self.model.ask(
                self.record,
                stage,
                load_prompt(prompt).messages(values, shaped, structured, lot),
                lambda text: judge(shaped.read(text, structured)),
                seed=self.seed,
                schema=shaped.schema,
                sampling=sampling,
            )
        )
