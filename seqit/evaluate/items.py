"""Benchmark items: the chat sent to the model for an item, and what responses keep of the item."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seqit.checks.placeholder import placeholder_kind
from seqit.errors import UsageError
from seqit.llm.chat import prompt_messages
from seqit.llm.request import Message
from seqit.records.formats.chat import prompt_text
from seqit.records.record import Record
from seqit.records.validation import shorten

BENCHMARKS = ("gsm8k", "mgsm", "humaneval", "xquad", "vqa", "multiple-choice")
"""Formats whose rows belong to one benchmark."""


def benchmark_of(record: Record) -> str:
    """Return the benchmark that a record is an item of; empty if the record does not say."""
    format_name = record.get("source", {}).get("format", "")
    if format_name in BENCHMARKS:
        return format_name
    published = record["lineage"]["iteration"] == 0 and _published_iteration(record)
    return "seqeval" if published or record["lineage"].get("method") == "seqeval" else ""


def lineage_of(record: Record) -> dict[str, Any]:
    """Return the lineage that a response and its scores carry.

    SeqEval as published has an item's iteration in a column and its operation nowhere: the
    iteration is taken from that column, and the operation is left out.
    """
    lineage = record["lineage"]
    if lineage["iteration"] == 0 and (iteration := _published_iteration(record)):
        return {"root": lineage["root"], "iteration": iteration}
    names = ("root", "iteration", "operation", "method", "teacher")
    return {name: value for name, value in lineage.items() if name in names}


def _published_iteration(record: Record) -> int:
    value = record.get("metadata", {}).get("iteration")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return 0
    return value if record["lineage"]["operation"] == "seed" else 0


def item_problem(record: Record) -> str:
    """Return why a record cannot be sent to a model, or an empty text.

    The instruction of a record may be what a failed API call left behind.
    """
    text = record["instruction"].strip()
    if placeholder_kind(text) in ("failed-call", "unfilled-slot"):
        return f"{shorten(text)!r} stands where the instruction should be"
    return ""


class FewShotExamples:
    """Few-shot examples: the first `count` are prepended to an item as earlier turns, in order.

    An example with a rationale shows it before the answer (chain of thought). An example with the
    same question as the item is skipped, and the next one is used. Raises UsageError if an
    example cannot be a turn, or if there are fewer than `count`.
    """

    def __init__(self, examples: Sequence[Record], count: int) -> None:
        for number, example in enumerate(examples[: count + 1], 1):
            if not example["output"].strip():
                raise UsageError(f"example {number} of --shots has no output to show")
            if "history" in example or "images" in example or "system" in example:
                raise UsageError(
                    f"example {number} of --shots has a system message, earlier turns or images; "
                    "an example is one question and its answer"
                )
        if len(examples) < count:
            raise UsageError(
                f"--shots has {len(examples)} examples, --num-fewshot asks for {count}"
            )
        self._count = count
        self._pairs = [
            (prompt_text(example), _example_answer(example)) for example in examples[: count + 1]
        ]

    def prepend_to(self, record: Record) -> Record:
        """Return the record with the examples as the first turns of its history."""
        question = prompt_text(record).split()
        pairs = [list(pair) for pair in self._pairs if pair[0].split() != question]
        if not self._count:
            return record
        return {**record, "history": [*pairs[: self._count], *record.get("history", [])]}


def _example_answer(example: Record) -> str:
    rationale = example.get("metadata", {}).get("rationale")
    if not isinstance(rationale, str) or not rationale.strip():
        return example["output"]
    return f"{rationale.strip()}\nThe answer is {example['output'].strip().rstrip('.')}."


def item_chat(record: Record, shots: FewShotExamples | None) -> list[Message]:
    """Return the chat messages that are sent to the model for an item."""
    return prompt_messages(shots.prepend_to(record) if shots else record)


def training_hash(folders: Iterable[str]) -> str:
    """Return the SHA-256 of training.json in the first of the folders that has one, else ""."""
    for folder in folders:
        file = Path(folder) / "training.json"
        if folder and file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    return ""
