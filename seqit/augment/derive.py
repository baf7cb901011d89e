"""Helpers shared by the augmentation methods: derive a record, skip a row, check arguments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from seqit.errors import UsageError
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed
from seqit.records.identity import with_id
from seqit.records.record import RECORD_KEYS, Lineage, Operation, Record, Step
from seqit.records.run_stats import Row, RunStats

OnInapplicable = Literal["reject", "pass"]
"""What to do with a row that the method does not apply to: reject it, or pass it on unchanged."""


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
    """Return `parent` with `changes` applied, a new id and lineage, and `iteration` plus one.

    All other fields (system, images, source, metadata) are copied. `teacher` and `prompt` (the
    version of its prompts, if any) name the author of the new text in the lineage.
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
    """Return `parent` with `changes`, lineage included, and the id recomputed from the content."""
    merged = {**parent, **changes}
    required = Record.__required_keys__
    ordered = {k: merged[k] for k in RECORD_KEYS if k in required or merged.get(k)}
    return with_id(cast(Record, ordered))


def chain_of(record: Record) -> list[Step]:
    """Return the record's steps; a record without steps is a chain of one step."""
    if steps := record.get("steps"):
        return list(steps)
    return [{"instruction": record["instruction"], "output": record["output"]}]


def is_question(instruction: str) -> bool:
    """Return whether any line ends with a question mark (Latin, full-width or Arabic).

    Any line, because answer options may follow the question.
    """
    lines = instruction.splitlines()
    return any(line.rstrip().endswith(("?", "？", "؟")) for line in lines)


def prepend_request(request: str, instruction: str) -> str:
    """Return the request followed by the unchanged instruction."""
    separator = "\n\n" if "\n" in instruction else " "
    return f"{request}{separator}{instruction}"


def labelled(label: str, text: str) -> str:
    """Return ``Label: text``; multi-line text starts on a new line after the label."""
    return f"{label}:\n{text}" if "\n" in text else f"{label}: {text}"


@dataclass(slots=True)
class RowState:
    """A row and the operations applied to it so far, while its model calls run."""

    row: Row
    operations: list[tuple[int, str]] = field(default_factory=list)  # (iteration, operation)


class SkipReason(NamedTuple):
    """Why a method does not apply to a row: a reason code and a sentence."""

    reason: str
    message: str


NO_OUTPUT = SkipReason("no-output", "The row has no output: its chain would end without an answer.")


def skip_or_pass(
    row: Row, stats: RunStats, on_inapplicable: OnInapplicable, method: str, skip: SkipReason
) -> Iterator[Row]:
    """Yield a row that `method` does not apply to unchanged, or reject it with the reason."""
    if on_inapplicable == "pass":
        yield row
    else:
        stats.reject(row, method, skip.reason, skip.message)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise UsageError unless `value` is one of `choices`."""
    if value not in choices:
        raise UsageError(f"{option} is {value!r}, but must be one of: {', '.join(choices)}.")


def require_model(model: ModelClient | None, method: str, purpose: str) -> ModelClient:
    """Return the model; raises UsageError, with the option that names one, if it is None."""
    if model is None:
        raise UsageError(
            f"The method {method!r} needs a language model {purpose}: name one, as in "
            "--teacher openai:MODEL."
        )
    return model


def record_failure(stats: RunStats, row: Row, failure: CompletionFailed) -> None:
    """Count a row as failed because the model gave no usable completion."""
    stats.fail(row, failure.stage, failure.reason, str(failure), **failure.evidence)
