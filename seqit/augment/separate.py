"""Separated chains: every step becomes an instruction–response pair.

The ablation of arXiv 2403.07794 that controls for length: the same tasks and answers as in the
chains, without the chaining.
"""

from collections.abc import Iterator
from typing import Any

from seqit.augment.builtin.library import kind_of
from seqit.augment.caption.method import DESCRIBE_INSTRUCTION
from seqit.augment.derive import derive, is_question, labelled, record_failure
from seqit.augment.placebo import REPEAT_INSTRUCTIONS
from seqit.augment.respond import respond
from seqit.errors import RowError
from seqit.llm.client import ModelClient, NoModelRunner
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "separate"

_ADDED_INSTRUCTIONS = frozenset((DESCRIBE_INSTRUCTION, *REPEAT_INSTRUCTIONS.values()))


def augment(
    rows: Iterator[Row], stats: RunStats, *, seed: int, model: ModelClient | None = None
) -> Iterator[Row]:
    """Yield one record per step of each chain; rows that are not chains are yielded unchanged.

    Each record can be answered alone: its input is what the step depends on. If a step has no
    output, as in chains that a language model wrote, the model answers it, in step order; without
    a model the row fails.
    """

    def run(row: Row) -> ModelCall[list[Record] | RowError]:
        record: Record = row.value
        if len(record.get("steps", [])) < 2:
            return [record]
        return (yield from _step_records(record, seed, model))

    for row, result in (model or NoModelRunner()).run(rows, run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, RowError):
            stats.fail(row, METHOD, "step-without-output", str(result), field=result.field)
        else:
            stats.added += len(result) - 1
            for record in result:
                yield row if record is row.value else row.with_value(record)


def _step_records(
    record: Record, seed: int, model: ModelClient | None
) -> ModelCall[list[Record] | RowError]:
    """Return one record per step, or why one cannot be made; raises CompletionFailed."""
    records: list[Record] = []
    for number, step in enumerate(record["steps"]):
        step_record = _step_record(record, number, seed)
        if not step.get("output"):
            if model is None:
                field = f"steps[{number}].output"
                message = (
                    f"{field} is missing or empty: the step cannot become a separate pair; name "
                    "a model as --teacher to have it answered"
                )
                return RowError(message, field)
            output = yield from respond(model, step_record, seed)
            steps = list(record["steps"])
            steps[number] = {**step, "output": output}
            record = {**record, "steps": steps}
            step_record = _step_record(record, number, seed, model.name)
        records.append(step_record)
    return records


def _step_record(record: Record, number: int, seed: int, teacher: str = "builtin") -> Record:
    step = record["steps"][number]
    changes: dict[str, Any] = {
        "instruction": step["instruction"],
        "input": _input(record, number),
        "output": step.get("output", ""),
        # A check against the previous output cannot run on a single step.
        "steps": [step] if "check" in step and not _refers_to_previous(step) else [],
    }
    return derive(record, changes, "separate", method=METHOD, seed=seed, teacher=teacher)


def _refers_to_previous(step: Step) -> bool:
    return step.get("check", {}).get("of") == "previous"


def _input(record: Record, number: int) -> str:
    """Return what the step works on: the task, the chain's input, or earlier outputs."""
    steps, input_text = record["steps"], record["input"]
    if record["lineage"]["operation"] == "translate":
        return steps[number - 1]["output"] if number else input_text
    tasks = _task_steps(record)
    first = tasks[0] if tasks else 0
    earlier = "\n\n".join(step["output"] for step in steps[first:number])
    if number == first or steps[number]["instruction"] == DESCRIBE_INSTRUCTION:
        return input_text
    if number in tasks:
        return "\n\n".join(filter(None, [input_text, earlier]))
    if number and _refers_to_previous(steps[number]) and "options" not in steps[number]["check"]:
        return steps[number - 1]["output"]
    task = "\n\n".join(steps[n]["instruction"] for n in tasks)
    label = "Question" if is_question(task) else "Task"
    parts = [(label, task), ("Input", input_text), ("Answer", earlier)]
    present = [(label, text) for label, text in parts if text]
    if len(present) == 1:
        return present[0][1]
    return "\n\n".join(labelled(label, text) for label, text in present)


def _task_steps(record: Record) -> list[int]:
    """Return the indices of the steps that are the original task, or a part of it.

    These are quoted in the chain's instruction and were not added by a method. The list is empty
    if every step describes itself.
    """
    whole = record["instruction"]
    texts = {
        number: step["instruction"]
        for number, step in enumerate(record["steps"])
        if step["instruction"] not in _ADDED_INSTRUCTIONS and kind_of(step["instruction"]) is None
    }
    if verbatim := [number for number, text in texts.items() if text in whole]:
        return verbatim
    # Within a sentence a request may start with a small letter and has no full stop.
    return [n for n, text in texts.items() if text[1:].rstrip().removesuffix(".") in whole]
