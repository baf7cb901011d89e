"""An answer form in the reference implementation's format, for `--parser paper`.

Answers are parsed strictly (format.py). Answers that the reference implementation would parse
differently are counted, and the first ones recorded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seqit.augment.form import AnswerField, FieldValues, TaggedForm
from seqit.augment.seq_instruct.paper.format import (
    OPTIONS,
    has_instruction,
    parse_explanation,
    parse_instruction,
    parse_option,
    parse_verdict,
)
from seqit.augment.seq_instruct.paper.reference import (
    instruction_difference,
    option_difference,
    refinement_difference,
)
from seqit.records.reading_comparison import ReadingComparison, ReadingDifference

_THOUGHT, _INSTRUCTION = "thought", "instruction"
_DIFFERENCES = {
    "option": option_difference,
    "refinement": refinement_difference,
    "instruction": instruction_difference,
}


class PaperParser:
    """Converts forms to the reference format, and compares both ways to parse their answers.

    `summary` is for the run statistics: see ReadingComparison; its keys are "option",
    "instruction" and "refinement".
    """

    def __init__(self) -> None:
        self._comparison = ReadingComparison()
        self.summary: dict[str, Any] = self._comparison.summary

    def form_for(self, form: TaggedForm) -> "PaperForm":
        """Return `form` in the reference format, with every parsed answer compared."""
        return PaperForm.from_form(form, self._comparison.add)


@dataclass(frozen=True)
class PaperForm:
    """The fields of an answer that the reference format supports.

    `thought` is its explanation, a choice of four its option, a choice of two its verdict (the
    first choice means yes), `instruction` its new instruction. Steps are not supported.

    on_parse: called with the kind of each answer, and how the reference would parse it
    differently, if it would.
    """

    fields: tuple[AnswerField, ...]
    omitted: tuple[str, ...] = ()
    on_parse: Callable[[str, ReadingDifference | None], None] | None = None

    @classmethod
    def from_form(
        cls,
        form: TaggedForm,
        on_parse: Callable[[str, ReadingDifference | None], None] | None = None,
    ) -> "PaperForm":
        """Return a form with those fields of `form` that the reference format supports.

        An answer with a verdict has no explanation.
        """
        has_verdict = any(len(each.choices) == 2 for each in form.fields)
        names = (_INSTRUCTION,) if has_verdict else (_THOUGHT, _INSTRUCTION)
        fields = tuple(each for each in form.fields if each.choices or each.name in names)
        omitted = tuple(each.name for each in form.fields if each not in fields)
        return cls(fields, omitted, on_parse)

    @property
    def schema(self) -> None:
        """None: the format is plain text."""
        return None

    def guidance(self, structured: bool = False) -> str:
        """Return the format instructions for the model."""
        parts = "\n\n".join(self._render_field(each, f"({each.name})") for each in self.fields)
        omit = f" Leave {' and '.join(self.omitted)} out." if self.omitted else ""
        return f"Answer in exactly this form, and write nothing else.{omit}\n\n{parts}"

    def render(self, values: Mapping[str, Any], structured: bool = False) -> str:
        """Return the answer text that a model should write for `values`."""
        present = [each for each in self.fields if values[each.name] or not each.allow_empty]
        return "\n\n".join(self._render_field(each, values[each.name]) for each in present)

    def parse(self, text: str, structured: bool = False) -> FieldValues:
        """Return the fields' values; raises ParseError unless each is in its marked place."""
        if self.on_parse:
            self.on_parse(self.kind, self.difference(text))
        values: FieldValues = {}
        for each in self.fields:
            if len(each.choices) == len(OPTIONS):
                values[each.name] = each.choices[OPTIONS.index(parse_option(text))]
            elif each.choices:
                values[each.name] = each.choices[0 if parse_verdict(text) else 1]
            elif each.name == _THOUGHT:
                values[each.name] = parse_explanation(text)
            else:
                values[each.name] = self._instruction(text, values)
        return values

    @property
    def kind(self) -> str:
        """The kind of answer: "option", "refinement" or "instruction"."""
        if self._choice_field(len(OPTIONS)):
            return "option"
        return "refinement" if self._choice_field(2) else "instruction"

    def difference(self, text: str) -> ReadingDifference | None:
        """Return how the reference implementation parses the answer differently, or None."""
        return _DIFFERENCES[self.kind](text)

    def _instruction(self, text: str, values: FieldValues) -> str:
        verdict = self._choice_field(2)
        is_complete = verdict and values[verdict.name] == verdict.choices[0]
        if is_complete and not has_instruction(text):
            return ""
        return parse_instruction(text)

    def _choice_field(self, count: int) -> AnswerField | None:
        return next((each for each in self.fields if len(each.choices) == count), None)

    def _render_field(self, field: AnswerField, value: str) -> str:
        if field.choices:
            return self._render_choice(field, value)
        if field.name == _THOUGHT:
            return f"#Explanation#:\n{value}"
        return f"#New Instruction#:\n{value}###"

    def _render_choice(self, field: AnswerField, value: str) -> str:
        """Return the choice as it is written; all choices if the value is ``(NAME)``."""
        chosen = [
            n for n, choice in enumerate(field.choices) if value in (choice, f"({field.name})")
        ]
        if len(field.choices) == len(OPTIONS):
            letters = (OPTIONS[n] for n in chosen)
            return f"So the option is: {' or '.join(letters)}.###"
        return f"Answer: {' or '.join(('Yes', 'No')[n] for n in chosen)}"
