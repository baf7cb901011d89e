"""The rule teacher: it needs no model and no network, and every step it adds can be verified."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from random import Random
from typing import Literal

from seqit.augment.builtin.answer import Answer
from seqit.augment.builtin.chain import Chain, read_chain
from seqit.augment.builtin.compose import Original, compose
from seqit.augment.builtin.decompose import decompose
from seqit.augment.builtin.library import Library, kind_of, library
from seqit.augment.builtin.slots import fill
from seqit.augment.builtin.step import StepKind, as_clause, as_step, pick, reply
from seqit.augment.builtin.task import Task
from seqit.augment.seq_instruct.teacher import KeepUnchanged, Outcome, Rewrite
from seqit.checks import verify
from seqit.errors import UsageError
from seqit.llm.model_call import ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step

_Operation = Literal["decompose", "prefix", "suffix"]

_DRAWN: tuple[_Operation | Literal["keep"], ...] = ("decompose", "prefix", "suffix", "keep")

LONGEST_CHAIN = 6
SHARES = {"decompose": 0.25, "prefix": 0.45, "suffix": 0.18, "keep": 0.12}
"""Near the shares that the paper's teacher chose on Alpaca, with suffixes not quite as rare."""


class BuiltinTeacher:
    """Chains records by rules: `shares` says how often which operation is drawn.

    steps: the names of those that may be added, by default all. An operation that does not fit a
    record gives way to the next one in the drawn order; a record that none fits is kept. Raises
    UsageError for shares that are no shares, and for steps that the library does not have.
    """

    name = "builtin"

    def __init__(self, shares: Mapping[str, float] = SHARES, steps: Collection[str] = ()) -> None:
        self._library = library(steps)
        if (
            set(shares) - set(_DRAWN)
            or min(shares.values(), default=-1) < 0
            or not sum(shares.values())
        ):
            raise UsageError(
                f"the shares {dict(shares)} cannot be used: give a number of 0 or more for some of "
                f"{', '.join(_DRAWN)}, and more than 0 in all"
            )
        total = sum(shares.values())
        self._shares = [(name, shares.get(name, 0.0) / total) for name in _DRAWN]

    @cached_property
    def prompt(self) -> str:
        """The version of the rule library: 16 hexadecimal digits over its sources."""
        digest = hashlib.blake2b(digest_size=8)
        for package in ("seqit.augment.builtin", "seqit.checks"):
            files = [f for f in resources.files(package).iterdir() if f.name.endswith(".py")]
            for file in sorted(files, key=lambda file: file.name):
                digest.update(f"{package}/{file.name}\n".encode())
                digest.update(file.read_text("utf-8").encode())
        return digest.hexdigest()

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Return the outcome of one iteration; it asks nobody."""
        yield from ()
        iteration = record["lineage"]["iteration"] + 1
        return self._rewrite(record, rng_for(seed, record["id"], iteration, "builtin"))

    def _rewrite(self, record: Record, rng: Random) -> Outcome:
        wanted = self._drawn(rng)
        if wanted == "keep":
            return KeepUnchanged("drawn to be kept")
        if not record["output"].strip():
            return KeepUnchanged("there is no answer to build on")
        if len(record.get("steps", ())) >= LONGEST_CHAIN:
            return KeepUnchanged(f"the chain has {LONGEST_CHAIN} steps or more")
        chain = read_chain(record)
        if chain is None:
            return KeepUnchanged("the steps are no longer the record's own")
        for operation in self._order(wanted, rng):
            if _OPERATIONS[operation](chain, record, self._library, rng):
                return _told(operation, chain, record, rng)
        return KeepUnchanged("no step of the library fits")

    def _drawn(self, rng: Random) -> _Operation | Literal["keep"]:
        place = rng.random()
        for name, share in self._shares:
            place -= share
            if place < 0:
                return name
        return "keep"

    def _order(self, wanted: _Operation, rng: Random) -> Iterator[_Operation]:
        """Yield the drawn operation, then the others that may be drawn at all."""
        yield wanted
        shares = dict(self._shares)
        others = [name for name in _OPERATIONS if name != wanted and shares[name]]
        rng.shuffle(others)
        yield from others


def _told(operation: _Operation, chain: Chain, record: Record, rng: Random) -> Rewrite:
    """Put the finished chain into words."""
    after = [as_clause(step["instruction"]) for step in chain.after]
    task = Task(chain.text, record["input"], Answer(""))
    original = Original(chain.text, task.is_question, chain.asks_several, chain.has_details)
    before = [as_clause(step["instruction"]) for step in chain.before]
    instruction = compose(original, before, after, rng)
    parts = [step["output"] for step in chain.steps]
    if chain.before and len(chain.core) == 1 and rng.random() < 0.5:
        answer = parts[len(before)]
        if len(answer) <= 40 and "\n" not in answer and not answer.endswith("."):
            parts[len(before)] = f"Answer: {answer}"
    return Rewrite(operation, instruction, "\n\n".join(parts), chain.steps)


def _add_prefix(chain: Chain, record: Record, library: Library, rng: Random) -> bool:
    task = Task(chain.text, record["input"], Answer(""))
    step = _drawn_step(library.prefix, task, chain, "", rng)
    if step:
        chain.before.insert(0, step)
    return step is not None


def _add_suffix(chain: Chain, record: Record, library: Library, rng: Random) -> bool:
    last = chain.steps[-1]
    kind = kind_of(last["instruction"])
    if kind and kind.gives == "end":
        return False
    answer = Answer(last["output"], counted=kind is not None and kind.gives == "number")
    task = Task(chain.text, record["input"], answer)
    it = "the result" if kind else "your answer"
    step = _drawn_step(library.suffix, task, chain, it, rng)
    if step:
        chain.after.append(step)
    return step is not None


def _decompose(chain: Chain, record: Record, library: Library, rng: Random) -> bool:
    if len(chain.core) > 1 or chain.has_details:
        return False
    core = chain.core[0]
    task = Task(chain.text, record["input"], Answer(core["output"]))
    rationale = record.get("metadata", {}).get("rationale")
    text = rationale if isinstance(rationale, str) else ""
    parts = decompose(task, core, text, chain.used(), rng)
    if parts is None or (parts.after and chain.after):
        return False
    added = (step["name"] for step in (*parts.first, *parts.before, *parts.after))
    if not library.names.issuperset(added):
        return False
    # What the task's own check compares with has to stay right in front of it.
    bound = chain.before and "of" in core.get("check", {})
    place = len(chain.before) - (1 if bound else 0)
    chain.before[place:place] = parts.before
    chain.before[:0] = parts.first
    chain.core = parts.core
    chain.after = parts.after + chain.after
    return True


_OPERATIONS: dict[_Operation, Callable[[Chain, Record, Library, Random], bool]] = {
    "prefix": _add_prefix,
    "suffix": _add_suffix,
    "decompose": _decompose,
}


def _drawn_step(
    kinds: Sequence[StepKind], task: Task, chain: Chain, it: str, rng: Random
) -> Step | None:
    """Return the first step that fits, in an order that is drawn as far as it is needed."""
    left, used = list(kinds), chain.used()
    earlier = [step["output"] for step in chain.steps] if it else []
    while left:
        place = int(rng.random() * len(left))
        kind, left[place] = left[place], left[-1]
        left.pop()
        if kind.key in used or not kind.applies(task):
            continue
        if solved := kind.solve(task):
            clause = fill(pick(rng, kind.phrasings), task, it)
            for template in (pick(rng, kind.replies), "{}"):
                output = reply(fill(template, task), solved.text)
                # What its own check would reject is not offered.
                if verify(solved.check, output, earlier) is None:
                    return as_step(kind, clause, output, solved.check)
    return None
