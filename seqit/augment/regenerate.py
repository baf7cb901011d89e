"""Regenerated answers: the same teacher answers the instructions as they are.

The baseline of arXiv 2403.07794 that makes a chained and an unchained set differ in their
instructions alone, not in who answered. Rows without an answer are answered the same way.
"""

import re
from collections.abc import Iterator

from seqit.augment.derive import need_model, rebuild, record_failure
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
    """Yield every row with the model's answer in place of its own, in input order.

    The lineage tells the two origins of such a record apart. What made the instruction stays:
    root, iteration, operation and kept, so that a chain is a chain still; a seed's operation
    becomes "regenerate". Who answered is new: method, teacher, seed, and parent, the record whose
    answer was replaced. The version of the prompt goes: no prompt was used.

    A step's instruction stays. Its output and check stay where the new answer has that output on
    lines of its own, in its turn, and the check holds; else they belonged to the old answer.

    Raises UsageError where there is no model.
    """
    model = need_model(model, METHOD, "to answer the instructions")

    def work(row: Row) -> ModelCall[Record]:
        record: Record = row.value
        return _answered(record, (yield from respond(model, record, seed)), model.name, seed)

    for row, result in model.run(rows, work):
        if isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        else:
            yield row.changed(result)


def _answered(record: Record, answer: str, teacher: str, seed: int) -> Record:
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
    steps = _standing(record.get("steps", []), answer)
    made = rebuild(record, {"output": answer, "steps": steps, "lineage": lineage})
    # A step without its output can take away what a later check refers to.
    while problems := record_problems(made):
        failing = {index for index, _ in problems}
        steps = [_bare(step) if n in failing else step for n, step in enumerate(made["steps"])]
        made = {**made, "steps": steps}
    return made


def _standing(steps: list[Step], answer: str) -> list[Step]:
    """Return the steps, those without output whose text is not in the answer, line by line."""
    found: list[Step] = []
    place = 0
    for step in steps:
        output = step.get("output", "").strip()
        lines = re.compile(rf"^{re.escape(output)}[ \t]*$", re.MULTILINE)
        match = lines.search(answer, place) if output else None
        if match:
            place = match.end()
            found.append({**step, "output": output})
        else:
            found.append(_bare(step))
    return found


def _bare(step: Step) -> Step:
    return {"instruction": step["instruction"]}
