"""Placebo chains: the first task needs no reasoning, so that only the form is sequential.

The chain repeats its input or instruction before the answer (repeat → result, the placebo of
arXiv 2403.07794). The repeated text is known, so the first step can always be checked.
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

REPEAT_INSTRUCTIONS = {
    what: f"Repeat the {what} word for word." for what in ("input", "question", "instruction")
}
"""The instruction of the first step, by the part of the row that it repeats."""

# The instruction follows; {what} names the repeated text.
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
    rows: Iterator[Row], stats: RunStats, *, seed: int, on_inapplicable: OnInapplicable = "reject"
) -> Iterator[Row]:
    """Yield each row as a chain that repeats its input, or else its instruction, first."""
    check_choice("on_inapplicable", on_inapplicable, ("reject", "pass"))
    for row in rows:
        if skip := _skip_reason(row.value):
            yield from skip_or_pass(row, stats, on_inapplicable, METHOD, skip)
        else:
            yield row.with_value(_repeat_first(row.value, seed))


def _skip_reason(record: Record) -> SkipReason | None:
    """Return why the method does not apply to the record; None if it does."""
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
    return {
        "instruction": REPEAT_INSTRUCTIONS[what],
        "output": text,
        "check": check,
        "name": "repeat",
    }


def _repeat_first(record: Record, seed: int) -> Record:
    text, what, phrasings = _repeated_text(record)
    rng = rng_for(seed, record["id"], record["lineage"]["iteration"] + 1, METHOD)
    request = rng.choice(phrasings).format(what=what)
    changes = {
        "instruction": prepend_request(request, record["instruction"]),
        "output": f"{text}\n\n{record['output']}",
        "steps": [repeat_step(text, what), *chain_of(record)],
    }
    return derive(record, changes, "repeat", method=METHOD, seed=seed)


def _repeated_text(record: Record) -> tuple[str, str, tuple[str, ...]]:
    """Return the text to repeat, the noun for it, and the phrasings to choose from."""
    if record["input"].strip():
        return record["input"], "input", _INPUT
    text = record["instruction"]
    if is_question(text):
        return text, "question", _QUESTION
    return text, "instruction", _TASK
