"""Paraphrase chains: paraphrase the text, optionally repeat it too, then do the task.

The other placebos of arXiv 2403.07794 (repeat → result is seqit.augment.placebo): paraphrase →
result, paraphrase → repeat → result, repeat → paraphrase → result. A language model writes the
paraphrase; the original answer is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from seqit.augment.derive import (
    NO_OUTPUT,
    OnInapplicable,
    SkipReason,
    chain_of,
    check_choice,
    derive,
    is_question,
    prepend_request,
    record_failure,
    require_model,
    skip_or_pass,
)
from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.language import differing_language, prose
from seqit.augment.placebo import repeat_step
from seqit.augment.prompt import load_prompt
from seqit.checks.retained import lost_content
from seqit.checks.text_units import count_letters, words
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, CompletionFailed, ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import shorten

METHOD = "paraphrase"

CHAINS = ("paraphrase", "paraphrase-repeat", "repeat-paraphrase")

PARAPHRASE_INSTRUCTIONS = {
    what: f"Put the {what} into other words." for what in ("input", "question", "instruction")
}
"""The instruction of the paraphrase step, by the part of the row that it paraphrases."""

# The request is one of these, then one of _CLOSINGS; the instruction follows.
_OPENINGS = {
    "paraphrase": (
        "First say the {what} in other words",
        "Start by rewording the {what} without changing what it means",
        "Express the {what} differently, with the same meaning",
        "Write down the {what} in words of your own",
    ),
    "paraphrase-repeat": (
        "First say the {what} in other words and repeat the original word for word",
        "Start by rewording the {what}, and copy out the original below",
        "Express the {what} differently, with the same meaning, and then repeat it as it stands",
        "Write down the {what} in words of your own, followed by its exact wording",
    ),
    "repeat-paraphrase": (
        "First repeat the {what} word for word and then say it in other words",
        "Start by copying out the {what}, and reword it below",
        "Repeat the {what} as it stands, and then express it differently, with the same meaning",
        "Write down the exact wording of the {what}, followed by one in words of your own",
    ),
}
_CLOSINGS = {
    "input": ("; then do the following:", ". After that, follow this instruction:"),
    "question": ("; then answer it:", ". After that, answer it:"),
    "instruction": ("; then carry it out:", ". After that, do what it says:"),
}

_REQUIRED_CONTENT = ("code", "table", "option", "link", "quote", "number")
_FORM = TaggedForm((AnswerField("paraphrase"),))
_MIN_LETTERS = 8


@dataclass(frozen=True, slots=True)
class _Subject:
    """The text to paraphrase, and which part of the row it is."""

    text: str
    kind: str  # input, question or instruction


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    chain: str = "paraphrase",
    on_inapplicable: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Yield each row as a chain that paraphrases its input, or else its instruction, first.

    chain: `paraphrase`, `paraphrase-repeat` (then the original text again), `repeat-paraphrase`.

    If the input has hardly any words, such as a list of numbers, the instruction is paraphrased.
    Raises UsageError if model is None, or for an unknown chain.
    """
    model = require_model(model, METHOD, "to write the paraphrase")
    check_choice("chain", chain, CHAINS)
    check_choice("on_inapplicable", on_inapplicable, ("reject", "pass"))
    paraphraser = _Paraphraser(model, chain, seed)
    for row, result in model.run(rows, paraphraser.run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, on_inapplicable, METHOD, result)
        else:
            yield row.with_value(result)


def _subject(record: Record) -> _Subject | None:
    """Return the first text with enough letters outside code and links; None if there is none."""
    kind = "question" if is_question(record["instruction"]) else "instruction"
    for subject in (_Subject(record["input"], "input"), _Subject(record["instruction"], kind)):
        if count_letters(prose(subject.text)) >= _MIN_LETTERS:
            return subject
    return None


def _skip_reason(record: Record) -> SkipReason | None:
    """Return why the method does not apply to the record; None if it does."""
    if not record["output"]:
        return NO_OUTPUT
    if record["lineage"]["operation"] == "paraphrase":
        return SkipReason("already-paraphrased", "The row paraphrases its text already.")
    return None


@dataclass(frozen=True)
class _Paraphraser:
    model: ModelClient
    chain: str
    seed: int

    def run(self, row: Row) -> ModelCall[Record | SkipReason]:
        """Return the chain, or why the row is skipped; raises CompletionFailed."""
        record: Record = row.value
        if skip := _skip_reason(record):
            return skip
        if (subject := _subject(record)) is None:
            message = "The row has too few words: there is nothing to say differently."
            return SkipReason("nothing-to-paraphrase", message)
        paraphrase = yield from self._paraphrase(record, subject)
        return self._chain(record, subject, paraphrase)

    def _paraphrase(self, record: Record, subject: _Subject) -> ModelCall[str]:
        structured = self.model.structured
        values = {"what": subject.kind, "text": subject.text}
        rng = self._rng(record, "examples")
        messages = load_prompt(METHOD).messages(values, _FORM, structured, rng)

        def parse(text: str) -> str:
            paraphrase: str = _FORM.parse(text, structured)["paraphrase"]
            _check(subject, paraphrase)
            return paraphrase

        return (
            yield from self.model.complete(
                record, METHOD, messages, parse, seed=self.seed, schema=_FORM.schema
            )
        )

    def _chain(self, record: Record, subject: _Subject, paraphrase: str) -> Record:
        rng = self._rng(record, "phrasing")
        request = rng.choice(_OPENINGS[self.chain]) + rng.choice(_CLOSINGS[subject.kind])
        noun = subject.kind if subject.kind == "input" else f"following {subject.kind}"
        first: Step = {
            "instruction": PARAPHRASE_INSTRUCTIONS[subject.kind],
            "output": paraphrase,
            "name": "paraphrase",
        }
        repeated = repeat_step(subject.text, subject.kind)
        steps = {
            "paraphrase": [first],
            "paraphrase-repeat": [first, repeated],
            "repeat-paraphrase": [repeated, first],
        }[self.chain]
        changes = {
            "instruction": prepend_request(request.format(what=noun), record["instruction"]),
            "output": "\n\n".join([*(step["output"] for step in steps), record["output"]]),
            "steps": [*steps, *chain_of(record)],
        }
        return derive(
            record,
            changes,
            "paraphrase",
            method=METHOD,
            seed=self.seed,
            teacher=self.model.name,
            prompt=load_prompt(METHOD).version,
        )

    def _rng(self, record: Record, stage: str) -> Random:
        number = record["lineage"]["iteration"] + 1
        return rng_for(self.seed, record["id"], number, f"{METHOD} {stage}")


def _check(subject: _Subject, paraphrase: str) -> None:
    """Raise CheckFailed unless the text is a plausible paraphrase of the original."""
    original = subject.text
    if _folded(paraphrase) == _folded(original):
        raise CheckFailed("it is the same text as the original", "not-paraphrased")
    if len(paraphrase) > 2.5 * len(original) + 20 or len(original) > 2.5 * len(paraphrase) + 5:
        raise CheckFailed("it is not about as long as the original", "wrong-length")
    for kind, text in lost_content(original, paraphrase):
        if kind in _REQUIRED_CONTENT:
            raise CheckFailed(
                f"the {kind} {shorten(text)!r} of the original is gone", "lost-content"
            )
    for kind, text in lost_content(paraphrase, original):
        if kind == "number":
            raise CheckFailed(f"the number {text!r} is not in the original", "added-content")
    if problem := differing_language(paraphrase, original):
        raise CheckFailed(problem, "wrong-language")
    if subject.kind == "question" and not is_question(paraphrase):
        raise CheckFailed("the original is a question, and it is none", "not-a-question")


def _folded(text: str) -> str:
    return " ".join(words(text.casefold()))
