"""Benchmark items: what is asked of a record, and what its responses carry along of it."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seqit.checks.placeholder import placeholder_kind
from seqit.errors import UsageError
from seqit.llm.chat import chat_of
from seqit.llm.request import Message
from seqit.records.formats.chat import question_of
from seqit.records.record import Record
from seqit.records.validation import shorten

BENCHMARKS = ("gsm8k", "mgsm", "humaneval", "xquad", "vqa", "multiple-choice")
"""Formats whose rows belong to one benchmark."""


def benchmark_of(record: Record) -> str:
    """Return the benchmark that a record is an item of; empty where it does not tell."""
    form = record.get("source", {}).get("format", "")
    if form in BENCHMARKS:
        return form
    published = record["lineage"]["iteration"] == 0 and _published_iteration(record)
    return "seqeval" if published or record["lineage"].get("method") == "seqeval" else ""


def lineage_of(record: Record) -> dict[str, Any]:
    """Return the lineage that a response and its scores carry.

    SeqEval as it was published tells an item's iteration in a column and its mode nowhere: the
    iteration is taken from there, and no operation is claimed.
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


def problem_of(record: Record) -> str:
    """Return why a record cannot be asked, or nothing: a failed call left its instruction."""
    text = record["instruction"].strip()
    if placeholder_kind(text) in ("failed-call", "unfilled-slot"):
        return f"{shorten(text)!r} stands where the instruction should be"
    return ""


class Shots:
    """Worked examples that go before an item as earlier turns: `count` of them, in their order.

    An example with a rationale shows it before the answer (chain of thought). One that asks what
    the item asks is skipped, and the next one stands in. Raises UsageError where the examples
    cannot be turns, or are too few.
    """

    def __init__(self, examples: Sequence[Record], count: int) -> None:
        for number, each in enumerate(examples[: count + 1], 1):
            if not each["output"].strip():
                raise UsageError(f"example {number} of --shots has no output to show")
            if "history" in each or "images" in each or "system" in each:
                raise UsageError(
                    f"example {number} of --shots has a system message, earlier turns or images; "
                    "an example is one question and its answer"
                )
        if len(examples) < count:
            raise UsageError(
                f"--shots has {len(examples)} examples, --shots-count asks for {count}"
            )
        self._count = count
        self._pairs = [(question_of(each), _worked(each)) for each in examples[: count + 1]]

    def before(self, record: Record) -> Record:
        """Return the record with the examples as the first of its earlier turns."""
        own = question_of(record).split()
        pairs = [list(pair) for pair in self._pairs if pair[0].split() != own]
        if not self._count:
            return record
        return {**record, "history": [*pairs[: self._count], *record.get("history", [])]}


def _worked(example: Record) -> str:
    rationale = example.get("metadata", {}).get("rationale")
    if not isinstance(rationale, str) or not rationale.strip():
        return example["output"]
    return f"{rationale.strip()}\nThe answer is {example['output'].strip().rstrip('.')}."


def asked_of(record: Record, shots: Shots | None) -> list[Message]:
    """Return the chat that an item is asked with."""
    return chat_of(shots.before(record) if shots else record)


def training_of(folders: Iterable[str]) -> str:
    """Return the hash of the record that a training run left in the first folder that has one."""
    for folder in folders:
        file = Path(folder) / "training.json"
        if folder and file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    return ""
