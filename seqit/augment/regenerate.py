"""Regenerated answers: a model answers the existing instructions.

The baseline of arXiv 2403.07794: a chained and an unchained set with answers of the same model
differ only in their instructions. Rows without an answer are answered the same way.
"""

import re
from collections.abc import Iterator

from seqit.augment.derive import rebuild, record_failure, require_model
from seqit.augment.respond import respond
from seqit.checks import record_problems
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Lineage, Record, Step
from seqit.records.run_stats import Row, RunStats

METHOD = "regenerate"


def augment(
    rows: Iterator[Row], stats: RunStats, *, seed: int, model: ModelClient | None = None
) -> Iterator[Row]:
    """Yield every row with its answer replaced by the model's, in input order.

    In the lineage, the keys that describe the instruction are kept (root, iteration, operation,
    kept; a seed's operation becomes "regenerate"), and those that describe the answer are new:
    method, teacher, seed, and parent, the record whose answer was replaced. The version of the
    prompt is dropped: no prompt was used.

    A step keeps its instruction. It keeps its output and check only if the new answer contains
    that output on separate lines, in the order of the steps, and the check passes.

    Raises UsageError if model is None.
    """
    model = require_model(model, METHOD, "to answer the instructions")

    def run(row: Row) -> ModelCall[Record]:
        record: Record = row.value
        answer = yield from respond(model, record, seed)
        return _with_answer(record, answer, model.name, seed)

    for row, result in model.run(rows, run):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        else:
            yield row.with_value(result)


def _with_answer(record: Record, answer: str, teacher: str, seed: int) -> Record:
    old = record["lineage"]
    operation = old["operation"]
    lineage: Lineage = {
        "root": old["root"],
        "parent": record["id"],
        "iteration": old["iteration"],
        "operation": "regenerate" if operation == "seed" else operation,
        "method": METHOD,
        "teacher": teacher,
        "seed": seed,
    }
    if "kept" in old:
        lineage["kept"] = old["kept"]
    steps = _steps_of_answer(record.get("steps", []), answer)
    regenerated = rebuild(record, {"output": answer, "steps": steps, "lineage": lineage})
    # A step that lost its output can invalidate a later check that refers to it.
    while problems := record_problems(regenerated):
        failing = {index for index, _ in problems}
        steps = [
            _without_output(step) if index in failing else step
            for index, step in enumerate(regenerated["steps"])
        ]
        regenerated = {**regenerated, "steps": steps}
    return regenerated


def _steps_of_answer(steps: list[Step], answer: str) -> list[Step]:
    """Return the steps, without the outputs that the answer does not contain as whole lines."""
    found: list[Step] = []
    position = 0
    for step in steps:
        output = step.get("output", "").strip()
        lines = re.compile(rf"^{re.escape(output)}[ \t]*$", re.MULTILINE)
        match = lines.search(answer, position) if output else None
        if match:
            position = match.end()
            found.append({**step, "output": output})
        else:
            found.append(_without_output(step))
    return found


def _without_output(step: Step) -> Step:
    return {"instruction": step["instruction"]}
