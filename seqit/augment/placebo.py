"""Placebo chains: a first task that asks for no thought, so that only the form is sequential.

The chain of this module repeats its text before it answers (repeat → result, the placebo of
arXiv 2403.07794). What is repeated is known, so the first step is always checkable.
"""

from collections.abc import Iterator

from seqit.augment.derive import (
    NO_OUTPUT,
    OnInapplicable,
    SkipReason,
    chain_of,
    check_choice,
    derive,
    is_question,
    prepend_request,
    skip_or_pass,
)
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "repeat"

REPEATS = {
    what: f"Repeat the {what} word for word." for what in ("input", "question", "instruction")
}
"""The first step, by what it repeats."""

# The instruction follows; {what} is the text that is repeated.
_INPUT = (
    "First repeat the {what} word for word, then do the following:",
    "Repeat the {what} exactly as it is given. After that, do this:",
    "Start by copying out the {what} without any change, and then do what is asked:",
    "Write out the {what} once more, word for word. Then carry out this instruction:",
)
_QUESTION = (
    "First repeat the {what} word for word, then answer it:",
    "Repeat the following {what} exactly as it is written before you answer it:",
    "Start by restating this {what} without changing a word, and then answer it:",
    "Copy out this {what} word for word and give the answer after it:",
)
_TASK = (
    "First repeat the following {what} word for word, then carry it out:",
    "Repeat this {what} exactly as it is written before you follow it:",
    "Start by restating this {what} without changing a word, and then do what it says:",
    "Copy out this {what} word for word and do what it asks after that:",
)


def augment(
    rows: Iterator[Row], stats: RunStats, *, seed: int, others: OnInapplicable = "reject"
) -> Iterator[Row]:
    """Ask of every row to repeat its input, or else its instruction, before the answer."""
    check_choice("others", others, ("reject", "pass"))
    for row in rows:
        if why := _obstacle(row.value):
            yield from skip_or_pass(row, stats, others, METHOD, why)
        else:
            yield row.changed(_repeat_first(row.value, seed))


def _obstacle(record: Record) -> SkipReason | None:
    """Return why the row cannot be repeated first."""
    if not record["output"]:
        return NO_OUTPUT
    if not (record["input"] + record["instruction"]).strip():
        return SkipReason("blank", "The row is white space alone: there is nothing to repeat.")
    if record["lineage"]["operation"] == "repeat":
        return SkipReason("already-repeated", "The row repeats its text already.")
    return None


def repeat_step(text: str, what: str) -> Step:
    """Return the step that repeats a text word for word, with its check."""
    check = {"kind": "text", "value": text}
    return {"instruction": REPEATS[what], "output": text, "check": check, "name": "repeat"}


def _repeat_first(record: Record, seed: int) -> Record:
    text, what, phrasings = _repeated(record)
    lot = rng_for(seed, record["id"], record["lineage"]["iteration"] + 1, METHOD)
    request = lot.choice(phrasings).format(what=what)
    changes = {
        "instruction": prepend_request(request, record["instruction"]),
        "output": f"{text}\n\n{record['output']}",
        "steps": [repeat_step(text, what), *chain_of(record)],
    }
    return derive(record, changes, "repeat", method=METHOD, seed=seed)


def _repeated(record: Record) -> tuple[str, str, tuple[str, ...]]:
    """Return the text to repeat, what to call it, and the phrasings that fit it."""
    if record["input"].strip():
        return record["input"], "input", _INPUT
    text = record["instruction"]
    if is_question(text):
        return text, "question", _QUESTION
    return text, "instruction", _TASK
