"""The rule that splits chains by pairs of successive steps, to test on unseen combinations."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from seqit.errors import UsageError
from seqit.filter.rule import OptionSpec, Rejection, Rule, one_of, proportion, whole_number
from seqit.records.identity import stable_hash
from seqit.records.record import Record

Side = Literal["train", "test"]
_HASH_BITS = 128  # of stable_hash


@dataclass
class Combination(Rule):
    """Split chains into train and test by their pairs of successive steps.

    A share of all pairs, chosen by the seed and the steps' names, is held out: chains without any
    of them pass for train, those with at least one for test. A chain with an unnamed step passes
    for neither; a single step is not a combination.
    """

    name: ClassVar[str] = "combination"
    explanation: ClassVar[str] = (
        "Two successive steps are held out for testing; or, with side=test, no two are."
    )

    side: Annotated[Side, OptionSpec("what the rows are for", one_of("train", "test"))] = "train"
    share: Annotated[float, OptionSpec("share of the pairs that is held out", proportion)] = 0.1
    seed: Annotated[int, OptionSpec("seed of the choice of pairs", whole_number)] = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(
                f"rule 'combination': share={self.share:g} leaves nothing on one side; "
                "it must be above 0 and below 1"
            )
        self._held_out: dict[tuple[str, str], bool] = {}

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the held-out pairs; for the test side, if there are none."""
        steps = record.get("steps", ())
        names = [step.get("name", "") for step in steps]
        if len(steps) > 1 and not all(names):
            number = names.index("")
            message = f"steps[{number}] has no name, so its combinations are unknown"
            return Rejection("unnamed", message, {"step": number})
        pairs = [list(pair) for pair in pairwise(names) if self._is_held_out(pair)]
        if bool(pairs) == (self.side == "test"):
            return None
        if not pairs:
            message = "no two steps that follow one another are held out"
            return Rejection("seen", message, {"steps": names})
        listed = ", ".join(f"{first} then {second}" for first, second in pairs)
        return Rejection("held-out", f"held out for testing: {listed}", {"pairs": pairs})

    def _is_held_out(self, pair: tuple[str, str]) -> bool:
        if pair not in self._held_out:
            pair_hash = stable_hash(self.seed, "\n".join(pair), 0, self.name)
            self._held_out[pair] = pair_hash < self.share * 2**_HASH_BITS
        return self._held_out[pair]
