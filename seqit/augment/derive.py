"""What the augmentation methods share: a record made from another, and rows a method leaves."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed
from seqit.records.identity import with_id
from seqit.records.record import RECORD_KEYS, Lineage, Operation, Record, Step
from seqit.records.run_stats import Row, RunStats

OnInapplicable = Literal["reject", "pass"]
"""What becomes of rows that a method does not apply to: rejected, or handed on unchanged."""


def derive(
    parent: Record,
    changes: Mapping[str, Any],
    operation: Operation,
    *,
    method: str,
    seed: int,
    teacher: str = "builtin",
    prompt: str = "",
) -> Record:
    """Return the record that `changes` make of `parent`, under its own id and one iteration on.

    Everything that is not changed is carried over: system, images, source, metadata. `teacher`
    and `prompt` (the version of its prompts, if any) say who wrote what is new.
    """
    lineage: Lineage = {
        "root": parent["lineage"]["root"],
        "parent": parent["id"],
        "iteration": parent["lineage"]["iteration"] + 1,
        "operation": operation,
        "method": method,
        "teacher": teacher,
    }
    if prompt:
        lineage["prompt"] = prompt
    return rebuild(parent, {**changes, "lineage": {**lineage, "seed": seed}})


def rebuild(parent: Record, changes: Mapping[str, Any]) -> Record:
    """Return `parent` with the changes, its lineage among them, under the id of its content."""
    merged = {**parent, **changes}
    required = Record.__required_keys__
    ordered = {k: merged[k] for k in RECORD_KEYS if k in required or merged.get(k)}
    return with_id(cast(Record, ordered))


def chain_of(record: Record) -> list[Step]:
    """Return the record's steps; a record without steps is a chain of one."""
    if steps := record.get("steps"):
        return list(steps)
    return [{"instruction": record["instruction"], "output": record["output"]}]


def is_question(instruction: str) -> bool:
    """Say whether a line ends with a question mark, of whatever script; options may follow it."""
    lines = instruction.splitlines()
    return any(line.rstrip().endswith(("?", "？", "؟")) for line in lines)


def prepend_request(request: str, instruction: str) -> str:
    """Put a request before an instruction, which stays as its author wrote it."""
    gap = "\n\n" if "\n" in instruction else " "
    return f"{request}{gap}{instruction}"


def labelled(label: str, text: str) -> str:
    """Return ``Label: text``; text of several lines begins on a line of its own."""
    return f"{label}:\n{text}" if "\n" in text else f"{label}: {text}"


class SkipReason(NamedTuple):
    """Why a method does not apply to a row."""

    reason: str
    message: str


NO_OUTPUT = SkipReason("no-output", "The row has no output: its chain would end without an answer.")


def skip_or_pass(
    row: Row, stats: RunStats, others: OnInapplicable, method: str, why: SkipReason
) -> Iterator[Row]:
    """Hand on a row that `method` does not apply to, or reject it with the reason."""
    if others == "pass":
        yield row
    else:
        stats.reject(row, method, why.reason, why.message)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise UsageError unless `value` is one of `choices`."""
    if value not in choices:
        raise UsageError(f"{option} is {value!r}, but must be one of: {', '.join(choices)}.")


def need_model(model: ModelClient | None, method: str, why: str) -> ModelClient:
    """Return the model; raises UsageError, which says how to name one, where there is none."""
    if model is None:
        raise UsageError(
            f"The method {method!r} needs a language model {why}: name one, as in "
            "--teacher openai:MODEL."
        )
    return model


def record_failure(stats: RunStats, row: Row, failure: CompletionFailed) -> None:
    """Count a row as failed because the model gave nothing that can be used."""
    stats.fail(row, failure.stage, failure.reason, str(failure), **failure.evidence)
