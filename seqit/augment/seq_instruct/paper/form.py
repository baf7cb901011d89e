"""Answers in the reference implementation's format, in place of a TaggedForm: `--parser paper`.

They are read strictly (format.py); where the reference implementation would have
read something else is counted, and shown for the first few.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seqit.augment.form import AnswerField, TaggedForm, Values
from seqit.augment.seq_instruct.paper.format import (
    OPTIONS,
    gives_instruction,
    read_explanation,
    read_instruction,
    read_option,
    read_verdict,
)
from seqit.augment.seq_instruct.paper.reference import (
    instruction_difference,
    option_difference,
    refinement_difference,
)
from seqit.records.reading_comparison import ReadingComparison, ReadingDifference

_THOUGHT, _INSTRUCTION = "thought", "instruction"
_READERS = {
    "option": option_difference,
    "refinement": refinement_difference,
    "instruction": instruction_difference,
}


class PaperParser:
    """Makes forms of the reference format, and counts what they read.

    `counts` is for the account: see ReadingComparison; what is read is an "option", an "instruction" or
    a "refinement".
    """

    def __init__(self) -> None:
        self._comparison = ReadingComparison()
        self.counts: dict[str, Any] = self._comparison.counts

    def shape(self, form: TaggedForm) -> "PaperForm":
        """Return a form in the reference format for those fields that have a place there."""
        return PaperForm.of(form, self._comparison.notice)


@dataclass(frozen=True)
class PaperForm:
    """The fields of an answer that the reference format has a place for.

    `thought` is its explanation, a choice of four its option, a choice of two its verdict (the
    first one means yes), `instruction` its new instruction. It has no place for steps.
    """

    fields: tuple[AnswerField, ...]
    left_out: tuple[str, ...] = ()
    notice: Callable[[str, ReadingDifference | None], None] | None = None

    @classmethod
    def of(
        cls, form: TaggedForm, notice: Callable[[str, ReadingDifference | None], None] | None = None
    ) -> "PaperForm":
        """Return the form for those fields of another that have a place here.

        A verdict stands first there, without an explanation.
        """
        verdict = any(len(each.choices) == 2 for each in form.fields)
        names = (_INSTRUCTION,) if verdict else (_THOUGHT, _INSTRUCTION)
        fields = tuple(each for each in form.fields if each.choices or each.name in names)
        left_out = tuple(each.name for each in form.fields if each not in fields)
        return cls(fields, left_out, notice)

    @property
    def schema(self) -> None:
        """None: the format is plain text."""
        return None

    def guidance(self, structured: bool = False) -> str:
        """Return the sentences that tell the model how to write its answer."""
        parts = "\n\n".join(self._part(each, f"({each.name})") for each in self.fields)
        leave = f" Leave {' and '.join(self.left_out)} out." if self.left_out else ""
        return f"Answer in exactly this form, and write nothing else.{leave}\n\n{parts}"

    def show(self, values: Mapping[str, Any], structured: bool = False) -> str:
        """Return an answer as the model is to write it."""
        given = [each for each in self.fields if values[each.name] or not each.empty]
        return "\n\n".join(self._part(each, values[each.name]) for each in given)

    def read(self, text: str, structured: bool = False) -> Values:
        """Return the fields' values; raises Unreadable unless each stands in its place."""
        if self.notice:
            self.notice(self.reading, self.difference(text))
        values: Values = {}
        for each in self.fields:
            if len(each.choices) == len(OPTIONS):
                values[each.name] = each.choices[OPTIONS.index(read_option(text))]
            elif each.choices:
                values[each.name] = each.choices[0 if read_verdict(text) else 1]
            elif each.name == _THOUGHT:
                values[each.name] = read_explanation(text)
            else:
                values[each.name] = self._instruction(text, values)
        return values

    @property
    def reading(self) -> str:
        """What is read: "option", "refinement" or "instruction"."""
        if self._choice(len(OPTIONS)):
            return "option"
        return "refinement" if self._choice(2) else "instruction"

    def difference(self, text: str) -> ReadingDifference | None:
        """Return how the reference implementation reads the answer, where it reads it otherwise."""
        return _READERS[self.reading](text)

    def _instruction(self, text: str, values: Values) -> str:
        verdict = self._choice(2)
        yes = verdict and values[verdict.name] == verdict.choices[0]
        if yes and not gives_instruction(text):
            return ""  # nothing is to be refined
        return read_instruction(text)

    def _choice(self, number: int) -> AnswerField | None:
        return next((each for each in self.fields if len(each.choices) == number), None)

    def _part(self, each: AnswerField, value: str) -> str:
        if each.choices:
            return self._verdict(each, value)
        if each.name == _THOUGHT:
            return f"#Explanation#:\n{value}"
        return f"#New Instruction#:\n{value}###"

    def _verdict(self, each: AnswerField, value: str) -> str:
        """Return the choice as it is written; all of them where the value is none."""
        chosen = [n for n, choice in enumerate(each.choices) if value in (choice, f"({each.name})")]
        if len(each.choices) == len(OPTIONS):
            letters = (OPTIONS[n] for n in chosen)
            return f"So the option is: {' or '.join(letters)}.###"
        return f"Answer: {' or '.join(('Yes', 'No')[n] for n in chosen)}"
