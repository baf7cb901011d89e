"""The rule-based teacher: it needs no model, and every step that it adds can be verified."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Literal

from seqit.augment.builtin.answer import Answer
from seqit.augment.builtin.chain import Chain, parse_chain
from seqit.augment.builtin.compose import OriginalTask, compose
from seqit.augment.builtin.decompose import decompose
from seqit.augment.builtin.library import Library, kind_of, select_steps
from seqit.augment.builtin.slots import fill_slots
from seqit.augment.builtin.step import StepKind, build_step, clause_of, pick, render_reply
from seqit.augment.builtin.task import Task
from seqit.augment.builtin.version import VERSION
from seqit.augment.seq_instruct.teacher import ChainOperation, KeepUnchanged, Outcome, Rewrite
from seqit.checks import verify
from seqit.errors import UsageError
from seqit.llm.model_call import ModelCall
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step

_CHOICES: tuple[ChainOperation | Literal["keep"], ...] = ("decompose", "prefix", "suffix", "keep")

MAX_CHAIN_STEPS = 6
SHARES = {"decompose": 0.25, "prefix": 0.45, "suffix": 0.18, "keep": 0.12}
"""Close to the shares that the paper's teacher chose on Alpaca, with slightly more suffixes."""


class BuiltinTeacher:
    """Extends records to chains by rules.

    shares: the probability of each operation; they are normalized to a sum of 1. An operation that
    does not apply to a record is replaced by another one in random order; if none applies, the
    record is kept unchanged.
    steps: the names of the steps that may be added, by default all.
    Raises UsageError for invalid shares and for unknown steps.
    """

    name = "builtin"
    prompt = VERSION

    def __init__(self, shares: Mapping[str, float] = SHARES, steps: Collection[str] = ()) -> None:
        self._library = select_steps(steps)
        if (
            set(shares) - set(_CHOICES)
            or min(shares.values(), default=-1) < 0
            or not sum(shares.values())
        ):
            raise UsageError(
                f"the shares {dict(shares)} cannot be used: give a number of 0 or more for some of "
                f"{', '.join(_CHOICES)}, and more than 0 in all"
            )
        total = sum(shares.values())
        self._shares = [(name, shares.get(name, 0.0) / total) for name in _CHOICES]

    def rewrite(self, record: Record, seed: int) -> ModelCall[Outcome]:
        """Return the outcome of one iteration, without any request to a model."""
        yield from ()
        iteration = record["lineage"]["iteration"] + 1
        return self._rewrite(record, rng_for(seed, record["id"], iteration, "builtin"))

    def _rewrite(self, record: Record, rng: Random) -> Outcome:
        sampled = self._sample_operation(rng)
        if sampled == "keep":
            return KeepUnchanged("sampled to be kept")
        if not record["output"].strip():
            return KeepUnchanged("the answer is empty")
        if len(record.get("steps", ())) >= MAX_CHAIN_STEPS:
            return KeepUnchanged(f"the chain has {MAX_CHAIN_STEPS} steps or more")
        chain = parse_chain(record)
        if chain is None:
            return KeepUnchanged("the steps do not match the record's instruction and output")
        for operation in self._order(sampled, rng):
            if _OPERATIONS[operation](chain, record, self._library, rng):
                return _compose_rewrite(operation, chain, record, rng)
        return KeepUnchanged("no step of the library applies")

    def _sample_operation(self, rng: Random) -> ChainOperation | Literal["keep"]:
        threshold = rng.random()
        for name, share in self._shares:
            threshold -= share
            if threshold < 0:
                return name
        return "keep"

    def _order(self, sampled: ChainOperation, rng: Random) -> Iterator[ChainOperation]:
        """Yield the sampled operation, then the others with a share above 0 in random order."""
        yield sampled
        shares = dict(self._shares)
        others = [name for name in _OPERATIONS if name != sampled and shares[name]]
        rng.shuffle(others)
        yield from others


def _compose_rewrite(
    operation: ChainOperation, chain: Chain, record: Record, rng: Random
) -> Rewrite:
    """Return the rewrite with the chain's instruction and output."""
    after = [clause_of(step["instruction"]) for step in chain.after]
    task = Task(chain.text, record["input"], Answer(""))
    original = OriginalTask(chain.text, task.is_question, chain.asks_several, chain.has_details)
    before = [clause_of(step["instruction"]) for step in chain.before]
    instruction = compose(original, before, after, rng)
    parts = [step["output"] for step in chain.steps]
    if chain.before and len(chain.core) == 1 and rng.random() < 0.5:
        answer = parts[len(before)]
        if len(answer) <= 40 and "\n" not in answer and not answer.endswith("."):
            parts[len(before)] = f"Answer: {answer}"
    return Rewrite(operation, instruction, "\n\n".join(parts), chain.steps)


def _add_prefix(chain: Chain, record: Record, library: Library, rng: Random) -> bool:
    task = Task(chain.text, record["input"], Answer(""))
    step = _sample_step(library.prefix, task, chain, "", rng)
    if step:
        chain.before.insert(0, step)
    return step is not None


def _add_suffix(chain: Chain, record: Record, library: Library, rng: Random) -> bool:
    last = chain.steps[-1]
    kind = kind_of(last["instruction"])
    if kind and kind.result == "end":
        return False
    answer = Answer(last["output"], states_number=kind is not None and kind.result == "number")
    task = Task(chain.text, record["input"], answer)
    it = "the result" if kind else "your answer"
    step = _sample_step(library.suffix, task, chain, it, rng)
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
    parts = decompose(task, core, text, chain.used_keys(), rng)
    if parts is None or (parts.after and chain.after):
        return False
    added = (step["name"] for step in (*parts.first, *parts.before, *parts.after))
    if not library.names.issuperset(added):
        return False
    # The step that the task's own check refers to must remain directly before the task.
    bound = chain.before and "of" in core.get("check", {})
    position = len(chain.before) - (1 if bound else 0)
    chain.before[position:position] = parts.before
    chain.before[:0] = parts.first
    chain.core = parts.core
    chain.after = parts.after + chain.after
    return True


_OPERATIONS: dict[ChainOperation, Callable[[Chain, Record, Library, Random], bool]] = {
    "prefix": _add_prefix,
    "suffix": _add_suffix,
    "decompose": _decompose,
}


def _sample_step(
    kinds: Sequence[StepKind], task: Task, chain: Chain, it: str, rng: Random
) -> Step | None:
    """Return the first step that applies, in random order; None if none does.

    `it` is the name of the answer in the phrasings of suffix steps, "" for prefix steps.
    """
    # The order is sampled lazily: shuffling all kinds would cost more than most records need.
    remaining, used_keys = list(kinds), chain.used_keys()
    earlier = [step["output"] for step in chain.steps] if it else []
    while remaining:
        index = int(rng.random() * len(remaining))
        kind, remaining[index] = remaining[index], remaining[-1]
        remaining.pop()
        if kind.key in used_keys or not kind.applies(task):
            continue
        if solved := kind.solve(task):
            clause = fill_slots(pick(rng, kind.phrasings), task, it)
            for template in (pick(rng, kind.replies), "{}"):
                output = render_reply(fill_slots(template, task), solved.text)
                # A reply that the step's own check would reject is not used.
                if verify(solved.check, output, earlier) is None:
                    return build_step(kind, clause, output, solved.check)
    return None
