"""The specification of a mixture, the sizes of its sources, and what each is to contribute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Literal

from seqit.errors import UsageError
from seqit.mix.strata import Strata

AmountUnit = Literal["rows", "tokens"]
Shortfall = Literal["redistribute", "leave"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of rows or tokens, a weight relative to others, or passes over a source."""

    number: Fraction
    unit: Literal["rows", "tokens", "weight", "passes"]

    def __str__(self) -> str:
        if self.unit == "passes":
            return f"{float(self.number):g} passes"
        if self.unit == "weight":
            return f"{float(self.number):.4g}"
        return f"{int(self.number):,} {self.unit}"


@dataclass(frozen=True, slots=True)
class MixtureSpec:
    """The requested amounts, caps, strata and held-out part of a mixture.

    amounts: one per source; None for all of it, or if `temperature` or `strata` decide.
    caps: upper bounds, one per source.
    shortfall: whether other sources make up for what a capped source lacks.
    held_out: how much to hold out, as whole roots: a share (weight) or a number of rows.
    """

    amounts: Sequence[Amount | None]
    total: Amount | None = None
    temperature: float | None = None
    caps: Sequence[Amount | None] = ()
    shortfall: Shortfall = "redistribute"
    strata: Strata | None = None
    held_out: Amount | None = None
    seed: int = 0

    @property
    def are_sources_free(self) -> bool:
        """Whether only the strata decide how much each source contributes."""
        return self.strata is not None and not self.temperature and not any(self.amounts)

    @property
    def is_divided(self) -> bool:
        """Whether shares divide a total, instead of counts that add up to one."""
        has_weights = any(amount and amount.unit == "weight" for amount in self.amounts)
        return bool(self.total or self.temperature or has_weights or self.are_sources_free)

    def unit_of(self, source: int) -> AmountUnit:
        """Return the unit in which the amount of a source is counted."""
        if self.is_divided:
            return "tokens" if self.total and self.total.unit == "tokens" else "rows"
        amount = self.amounts[source]
        return "tokens" if amount and amount.unit == "tokens" else "rows"

    def cap_of(self, source: int) -> Amount | None:
        return self.caps[source] if self.caps else None

    def check(self) -> None:
        """Raise UsageError if the specification contradicts itself; reads no rows."""
        if not self.amounts:
            raise UsageError("A mixture needs at least one source.")
        self._check_amounts()
        if self.temperature is not None:
            self._check_temperature()
        for source in range(len(self.caps)):
            cap, unit = self.cap_of(source), self.unit_of(source)
            if cap and cap.unit not in (unit, "passes"):
                raise UsageError(
                    f"A cap of {cap} cannot be applied to amounts in {unit}. Write the cap in "
                    f"{unit}, or as passes over the source: 2x."
                )
        if self.strata:
            self._check_strata()

    def _check_amounts(self) -> None:
        weights = [a for a in self.amounts if a and a.unit == "weight"]
        if self.total and any(a and a.unit != "weight" for a in self.amounts):
            raise UsageError(
                "A whole number beside a source is a count, and counts already say how large the "
                "mixture is. Leave out the total, or write weights: 0.4, 2.0 or 40%."
            )
        if self.temperature is None and weights and len(weights) < len(self.amounts):
            raise UsageError(
                "Some sources have a weight (0.4, 40%) and others have none (a whole number is a "
                "count, no number is all of the source). Give every source a weight, or none; or "
                "let --mix-temperature divide by size what the weights leave of 1."
            )
        if weights and not any(a.number for a in weights) and len(weights) == len(self.amounts):
            raise UsageError("Every weight is 0: at least one source needs a weight above 0.")

    def _check_temperature(self) -> None:
        if not self.temperature or not self.temperature > 0:
            raise UsageError("The temperature must be above 0; 1 gives shares by size.")
        if any(a and a.unit != "weight" for a in self.amounts):
            raise UsageError("A temperature applies to shares, not to sources with a count.")
        if all(self.amounts):
            raise UsageError(
                "Every source has a weight, so the temperature has no effect. Leave out the "
                "weights if shares are to follow the sizes."
            )
        if sum(a.number for a in self.amounts if a) >= 1:
            raise UsageError(
                "The weights add up to 1 or more, and leave nothing for --mix-temperature to "
                "divide by size among the other sources."
            )

    def _check_strata(self) -> None:
        if len({self.unit_of(i) for i in range(len(self.amounts))}) > 1:
            raise UsageError(
                "Rows and tokens do not add up, so they cannot be divided into strata. Write all "
                "amounts in rows, or all in tokens."
            )
        if self.is_divided and not self.are_sources_free and not self.total:
            raise UsageError(
                "Shares of the sources and of strata at once need a total: give --rows or --tokens."
            )


@dataclass(frozen=True, slots=True)
class Size:
    """A size in rows and in tokens."""

    rows: int = 0
    tokens: int = 0

    def in_unit(self, unit: AmountUnit) -> int:
        return self.rows if unit == "rows" else self.tokens

    def __add__(self, other: "Size") -> "Size":
        return Size(self.rows + other.rows, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class Available:
    """What one source has for the mixture: its size, also by stratum, and its held-out part."""

    name: str
    size: Size
    strata: Mapping[str, Size] = field(default_factory=dict)
    held_out: Size = Size()

    def bound(self, cap: Amount | None, unit: AmountUnit, stratum: str | None = None) -> int | None:
        """Return the most that the source, or a stratum of it, contributes; None without a cap."""
        size = self.size if stratum is None else self.strata.get(stratum, Size())
        if cap is None:
            return None
        return floor(cap.number * size.in_unit(unit)) if cap.unit == "passes" else floor(cap.number)


@dataclass(frozen=True, slots=True)
class Target:
    """What one source, or one stratum, is to contribute.

    share: of the whole mixture, as requested. requested: the same as a whole number. planned: the
    same after caps, which is what is sampled.
    """

    requested: int
    planned: int
    unit: AmountUnit
    share: Fraction


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one source of a mixture, or one stratum, had, was to contribute, and contributed."""

    available: Available
    target: Target
    sampled: Size
    cap: Amount | None = None
