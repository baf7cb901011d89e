"""Separated chains: every step as an instruction–response pair of its own.

The ablation of arXiv 2403.07794 that controls for length: the same tasks and answers as in the
chains, without the chaining.
"""

from collections.abc import Iterator
from typing import Any

from seqit.augment.builtin.library import kind_of
from seqit.augment.caption.method import DESCRIBE
from seqit.augment.derive import derive, is_question, labelled, record_failure
from seqit.augment.placebo import REPEATS
from seqit.augment.respond import respond
from seqit.errors import RowError
from seqit.llm.client import ModelClient, WithoutModel
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "separate"

_ADDED = frozenset((DESCRIBE, *REPEATS.values()))


def augment(
    rows: Iterator[Row], stats: RunStats, *, seed: int, model: ModelClient | None = None
) -> Iterator[Row]:
    """Make a record of every step of a chain; rows that are no chain stay as they are.

    Each of the records can be answered by itself: what its step relies on is its input. A chain
    with a step that has no output of its own, as language models write them, fails without a
    model; the model answers those steps, one after the other.
    """

    def work(row: Row) -> ModelCall[list[Record] | RowError]:
        record: Record = row.value
        if len(record.get("steps", [])) < 2:
            return [record]
        return (yield from _singles(record, seed, model))

    for row, found in (model or WithoutModel()).run(rows, work):
        if isinstance(found, CompletionFailed):
            record_failure(stats, row, found)
        elif isinstance(found, RowError):
            stats.fail(row, METHOD, "step-without-output", str(found), field=found.field)
        else:
            stats.added += len(found) - 1
            for record in found:
                yield row if record is row.value else row.changed(record)


def _singles(
    record: Record, seed: int, model: ModelClient | None
) -> ModelCall[list[Record] | RowError]:
    """Return a record of each step; raises CompletionFailed."""
    found: list[Record] = []
    for number, step in enumerate(record["steps"]):
        single = _single(record, number, seed)
        if not step.get("output"):
            if model is None:
                field = f"steps[{number}].output"
                message = (
                    f"{field} is missing or empty: the step cannot become a pair of its own; name "
                    "a model as --teacher to have it answered"
                )
                return RowError(message, field)
            output = yield from respond(model, single, seed)
            steps = list(record["steps"])
            steps[number] = {**step, "output": output}
            record = {**record, "steps": steps}
            single = _single(record, number, seed, model.name)
        found.append(single)
    return found


def _single(record: Record, number: int, seed: int, teacher: str = "builtin") -> Record:
    step = record["steps"][number]
    changes: dict[str, Any] = {
        "instruction": step["instruction"],
        "input": _input(record, number),
        "output": step.get("output", ""),
        # A check on the answer before has nothing to compare with any more.
        "steps": [step] if "check" in step and not _relative(step) else [],
    }
    return derive(record, changes, "separate", method=METHOD, seed=seed, teacher=teacher)


def _relative(step: Step) -> bool:
    return step.get("check", {}).get("of") == "previous"


def _input(record: Record, number: int) -> str:
    """Return what the step works on: the task, the chain's input, or answers before it."""
    steps, given = record["steps"], record["input"]
    if record["lineage"]["operation"] == "translate":
        return steps[number - 1]["output"] if number else given
    tasks = _tasks(record)
    first = tasks[0] if tasks else 0
    earlier = "\n\n".join(step["output"] for step in steps[first:number])
    if number == first or steps[number]["instruction"] == DESCRIBE:
        return given
    if number in tasks:
        return "\n\n".join(filter(None, [given, earlier]))
    if number and _relative(steps[number]) and "options" not in steps[number]["check"]:
        return steps[number - 1]["output"]
    task = "\n\n".join(steps[n]["instruction"] for n in tasks)
    label = "Question" if is_question(task) else "Task"
    parts = [(label, task), ("Input", given), ("Answer", earlier)]
    found = [(label, text) for label, text in parts if text]
    if len(found) == 1:
        return found[0][1]
    return "\n\n".join(labelled(label, text) for label, text in found)


def _tasks(record: Record) -> list[int]:
    """Return the numbers of the steps that are the original task, or a part of it.

    The chain quotes them, and no method has added them. None are found where the steps say
    themselves what they are about.
    """
    whole = record["instruction"]
    texts = {
        number: step["instruction"]
        for number, step in enumerate(record["steps"])
        if step["instruction"] not in _ADDED and kind_of(step["instruction"]) is None
    }
    if verbatim := [number for number, text in texts.items() if text in whole]:
        return verbatim
    # Inside a sentence a request may begin with a small letter and has no stop of its own.
    return [n for n, text in texts.items() if text[1:].rstrip().removesuffix(".") in whole]
