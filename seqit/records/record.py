"""The record: one instruction with its answer, and where both came from.

Alpaca's keys stay at the top, so that every trainer reads a row as it is. The contract is
schemas/record.schema.json; these types say the same to the type checker.
"""

from typing import Any, Literal, Required, TypedDict

Operation = Literal[
    "seed",  # not changed yet
    "decompose",  # one task became several
    "prefix",  # a task was put before it
    "suffix",  # a task was put after it
    "keep",  # looked at and left alone: frozen for later iterations
    "translate",
    "caption",
    "repeat",
    "paraphrase",
    "separate",
    "evolve",  # made harder
    "broaden",  # another instruction in its place
    "regenerate",  # a seed answered anew
]

Check = dict[str, Any]
"""A program that can verify a step's answer: {"kind": NAME, **arguments}; see seqit.checks."""


class Step(TypedDict, total=False):
    """One task of a chain, in the order in which the answer must do them."""

    instruction: Required[str]
    output: str
    check: Check
    name: str  # what kind of task it is, where its maker knows: uppercase, table_lookup


class Lineage(TypedDict, total=False):
    """How a record came to be; it survives filter, mix and train, so that SQL can ask."""

    root: Required[str]  # id of the seed record
    parent: str  # id of the record that this one was made from
    iteration: Required[int]  # 0 for a seed
    operation: Required[Operation]
    method: str
    teacher: str
    prompt: str  # hash of the prompt, or version of the rule library
    seed: int
    kept: int  # the iteration in which the teacher kept it; frozen since


class Source(TypedDict, total=False):
    """Where a seed record was read."""

    format: Required[str]
    name: str


class Record(TypedDict, total=False):
    """One row that travels between commands; empty optional parts are left out."""

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
"""Every key of a record, in the order in which it is written."""
