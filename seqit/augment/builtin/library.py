"""The steps of the library, the selection of some, and the lookup of a step by its instruction."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product

from seqit.augment.builtin.decompose import DECOMPOSE_STEPS
from seqit.augment.builtin.input_steps import INPUT_STEPS
from seqit.augment.builtin.layout_steps import LAYOUT_STEPS
from seqit.augment.builtin.number_steps import NUMBER_STEPS
from seqit.augment.builtin.options_steps import OPTIONS_STEPS
from seqit.augment.builtin.question_steps import QUESTION_STEPS
from seqit.augment.builtin.slots import SLOTS
from seqit.augment.builtin.step import StepKind, clause_of
from seqit.augment.builtin.text_steps import TEXT_STEPS
from seqit.errors import UsageError
from seqit.records.validation import did_you_mean

PREFIX_STEPS = (*OPTIONS_STEPS, *QUESTION_STEPS, *INPUT_STEPS)
SUFFIX_STEPS = (*TEXT_STEPS, *NUMBER_STEPS, *LAYOUT_STEPS)
ALL_STEPS = (*PREFIX_STEPS, *SUFFIX_STEPS, *DECOMPOSE_STEPS)


@dataclass(frozen=True, slots=True)
class Library:
    """The steps that a teacher may add before and after the task, and the names of all."""

    prefix: tuple[StepKind, ...]
    suffix: tuple[StepKind, ...]
    names: frozenset[str]


def select_steps(names: Collection[str] = ()) -> Library:
    """Return the steps with these names, by default all; raises UsageError for unknown names."""
    known = [kind.name for kind in ALL_STEPS]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"the library has no step {name!r}{hint}; --list shows them")
    wanted = frozenset(names or known)
    prefix = tuple(kind for kind in PREFIX_STEPS if kind.name in wanted)
    suffix = tuple(kind for kind in SUFFIX_STEPS if kind.name in wanted)
    return Library(prefix, suffix, wanted)


def possible_clauses(kind: StepKind) -> Iterator[str]:
    """Yield every clause that the kind's phrasings can produce."""
    for phrasing in kind.phrasings:
        slots = [slot for slot in SLOTS if f"{{{slot}}}" in phrasing]
        for values in product(*(SLOTS[slot] for slot in slots)):
            yield phrasing.format(**dict(zip(slots, values, strict=True)))


_KIND_OF_CLAUSE = {clause: kind for kind in ALL_STEPS for clause in possible_clauses(kind)}


def kind_of(instruction: str) -> StepKind | None:
    """Return the kind of a step by its instruction; None if it is not a step of the library."""
    return _KIND_OF_CLAUSE.get(clause_of(instruction))
