"""Paraphrase chains: the text is put into other words, perhaps repeated too, then the task done.

The placebos of arXiv 2403.07794 beside repeat → result (seqit.augment.placebo): paraphrase →
result, paraphrase → repeat → result, repeat → paraphrase → result. A language model writes the
paraphrase; the original answer stays.
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
    need_model,
    prepend_request,
    record_failure,
    skip_or_pass,
)
from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.language import differing_language, prose
from seqit.augment.placebo import repeat_step
from seqit.augment.prompt import load_prompt
from seqit.checks.measures import letters, words
from seqit.checks.retained import lost_content
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, CompletionFailed, ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import shorten

METHOD = "paraphrase"

CHAINS = ("paraphrase", "paraphrase-repeat", "repeat-paraphrase")

PARAPHRASES = {
    what: f"Put the {what} into other words." for what in ("input", "question", "instruction")
}
"""The step that paraphrases, by what it says anew."""

# The request is one of these and then one of _CLOSINGS; the instruction follows.
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

_KEPT = ("code", "table", "option", "link", "quote", "number")
_FORM = TaggedForm((AnswerField("paraphrase"),))
_FEWEST_LETTERS = 8


@dataclass(frozen=True, slots=True)
class _Subject:
    """The text of a row that is put into other words, and what to call it."""

    text: str
    what: str


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    chain: str = "paraphrase",
    others: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Ask of every row to put its input, or else its instruction, into other words first.

    chain: `paraphrase`, `paraphrase-repeat` (then the original once more), `repeat-paraphrase`.

    An input with hardly any words, such as a list of numbers, is left alone and the instruction
    taken. Raises UsageError where there is no model, or for a chain that is not known.
    """
    model = need_model(model, METHOD, "to write the paraphrase")
    check_choice("chain", chain, CHAINS)
    check_choice("others", others, ("reject", "pass"))
    paraphraser = _Paraphraser(model, chain, seed)
    for row, result in model.run(rows, paraphraser.run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, others, METHOD, result)
        else:
            yield row.changed(result)


def _subject(record: Record) -> _Subject | None:
    """Return the first text that has enough letters outside of code and links."""
    kind = "question" if is_question(record["instruction"]) else "instruction"
    for text, what in ((record["input"], "input"), (record["instruction"], kind)):
        if letters(prose(text)) >= _FEWEST_LETTERS:
            return _Subject(text, what)
    return None


def _obstacle(record: Record) -> SkipReason | None:
    """Return why the row cannot be paraphrased first."""
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
        """Ask for the paraphrase, where one can be made; raises CompletionFailed."""
        record: Record = row.value
        if why := _obstacle(record):
            return why
        if (subject := _subject(record)) is None:
            message = "The row has too few words: there is nothing to say differently."
            return SkipReason("nothing-to-paraphrase", message)
        return self._chained(record, subject, (yield from self._ask(record, subject)))

    def _ask(self, record: Record, subject: _Subject) -> ModelCall[str]:
        structured = self.model.structured
        values = {"what": subject.what, "text": subject.text}
        lot = self._lot(record, "examples")
        messages = load_prompt(METHOD).messages(values, _FORM, structured, lot)

        def read(text: str) -> str:
            paraphrase: str = _FORM.read(text, structured)["paraphrase"]
            _check(subject, paraphrase)
            return paraphrase

        return (
            yield from self.model.complete(
                record, METHOD, messages, read, seed=self.seed, schema=_FORM.schema
            )
        )

    def _chained(self, record: Record, subject: _Subject, paraphrase: str) -> Record:
        lot = self._lot(record, "phrasing")
        request = lot.choice(_OPENINGS[self.chain]) + lot.choice(_CLOSINGS[subject.what])
        shown = subject.what if subject.what == "input" else f"following {subject.what}"
        first: Step = {
            "instruction": PARAPHRASES[subject.what],
            "output": paraphrase,
            "name": "paraphrase",
        }
        repeated = repeat_step(subject.text, subject.what)
        steps = {
            "paraphrase": [first],
            "paraphrase-repeat": [first, repeated],
            "repeat-paraphrase": [repeated, first],
        }[self.chain]
        changes = {
            "instruction": prepend_request(request.format(what=shown), record["instruction"]),
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

    def _lot(self, record: Record, stage: str) -> Random:
        number = record["lineage"]["iteration"] + 1
        return rng_for(self.seed, record["id"], number, f"{METHOD} {stage}")


def _check(subject: _Subject, paraphrase: str) -> None:
    """Raise CheckFailed unless the text plausibly says the original in other words."""
    original = subject.text
    if _folded(paraphrase) == _folded(original):
        raise CheckFailed("it is the same text as the original", "not-paraphrased")
    if len(paraphrase) > 2.5 * len(original) + 20 or len(original) > 2.5 * len(paraphrase) + 5:
        raise CheckFailed("it is not about as long as the original", "wrong-length")
    for kind, text in lost_content(original, paraphrase):
        if kind in _KEPT:
            raise CheckFailed(
                f"the {kind} {shorten(text)!r} of the original is gone", "lost-content"
            )
    for kind, text in lost_content(paraphrase, original):
        if kind == "number":
            raise CheckFailed(f"the number {text!r} is not in the original", "added-content")
    if problem := differing_language(paraphrase, original):
        raise CheckFailed(problem, "wrong-language")
    if subject.what == "question" and not is_question(paraphrase):
        raise CheckFailed("the original is a question, and it is none", "not-a-question")


def _folded(text: str) -> str:
    return " ".join(words(text.casefold()))
