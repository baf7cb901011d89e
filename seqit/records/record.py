"""The record: one instruction with its answer, and where both came from.

Alpaca's keys are at the top level, so that every trainer can read a row unchanged. The contract is
schemas/record.schema.json; these types describe the same to the type checker.
"""

from typing import Any, Literal, Required, TypedDict

Operation = Literal[
    "seed",  # not changed yet
    "decompose",  # one task became several
    "prefix",  # a task was put before it
    "suffix",  # a task was put after it
    "keep",  # left unchanged by the teacher: final, skipped by later iterations
    "translate",
    "caption",
    "repeat",
    "paraphrase",
    "separate",
    "evolve",  # made harder
    "broaden",  # replaced by another instruction
    "regenerate",  # a seed with a new answer
]

Check = dict[str, Any]
"""A program that can verify a step's answer: {"kind": NAME, **arguments}; see seqit.checks."""


class Step(TypedDict, total=False):
    """One task of a chain; the answer must do the tasks in this order."""

    instruction: Required[str]
    output: str
    check: Check
    name: str  # the kind of task, if the method sets it: uppercase, table_lookup


class Lineage(TypedDict, total=False):
    """Where a record comes from; kept through filter, mix and train, so that SQL can query it."""

    root: Required[str]  # id of the seed record
    parent: str  # id of the record that this one was derived from
    iteration: Required[int]  # 0 for a seed
    operation: Required[Operation]
    method: str
    teacher: str
    prompt: str  # hash of the prompt, or version of the rule library
    seed: int
    kept: int  # the iteration in which the teacher kept it; final since then


class Source(TypedDict, total=False):
    """Where a seed record was read."""

    format: Required[str]
    name: str


class Record(TypedDict, total=False):
    """One row of seqit's own format; empty optional parts are omitted."""

    id: Required[str]
    instruction: Required[str]
    input: Required[str]
    output: Required[str]
    system: str
    history: list[list[str]]  # earlier turns, [user, assistant] each
    images: list[str]
    steps: list[Step]
    lineage: Required[Lineage]
    source: Source
    metadata: dict[str, Any]  # unknown columns are kept here


RECORD_KEYS = tuple(Record.__annotations__)
"""All keys of a record, in the order in which they are written."""
