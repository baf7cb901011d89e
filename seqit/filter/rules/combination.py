"""Which steps follow on which: combinations that training never sees, to be tested on."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from seqit.errors import UsageError
from seqit.filter.rule import OptionSpec, Rejection, Rule, one_of, proportion, whole_number
from seqit.records.identity import stable_hash
from seqit.records.record import Record

Side = Literal["train", "test"]
_BITS = 128  # of a lot


@dataclass
class Combination(Rule):
    """Divide chains by the pairs of neighbouring steps that they hold.

    A share of all pairs, drawn by the seed from the steps' names, is held out: to train pass the
    chains without any of them, to test those with at least one. A chain that cannot be told, for
    a step without a name, passes on neither side; a single step is no combination.
    """

    name: ClassVar[str] = "combination"
    explanation: ClassVar[str] = (
        "Two steps follow one another that are held out for testing; or, of the test side, none do."
    )

    side: Annotated[Side, OptionSpec("what the rows are for", one_of("train", "test"))] = "train"
    share: Annotated[float, OptionSpec("share of the pairs that is held out", proportion)] = 0.1
    seed: Annotated[int, OptionSpec("decides which", whole_number)] = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(
                f"rule 'combination': share={self.share:g} leaves nothing on one side; "
                "it must be above 0 and below 1"
            )
        self._held_out: dict[tuple[str, str], bool] = {}

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection with the pairs that are held out, or says that there are none."""
        steps = record.get("steps", ())
        names = [step.get("name", "") for step in steps]
        if len(steps) > 1 and not all(names):
            number = names.index("")
            message = f"steps[{number}] has no name, so that its combinations cannot be told"
            return Rejection("unnamed", message, {"step": number})
        pairs = [list(pair) for pair in pairwise(names) if self._is_held_out(pair)]
        if bool(pairs) == (self.side == "test"):
            return None
        if not pairs:
            message = "no two steps that follow one another are held out"
            return Rejection("seen", message, {"steps": names})
        told = ", ".join(f"{first} then {second}" for first, second in pairs)
        return Rejection("held-out", f"held out for testing: {told}", {"pairs": pairs})

    def _is_held_out(self, pair: tuple[str, str]) -> bool:
        if pair not in self._held_out:
            drawn = stable_hash(self.seed, "\n".join(pair), 0, self.name)
            self._held_out[pair] = drawn < self.share * 2**_BITS
        return self._held_out[pair]
