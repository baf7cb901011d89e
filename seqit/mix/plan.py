"""How much each source of a mixture is to give."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal

from seqit.errors import SeqitError, UsageError

Unit = Literal["rows", "tokens"]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of something: a number of rows or tokens, or a weight beside other weights."""

    number: Fraction
    unit: Literal["rows", "tokens", "weight"]


@dataclass(frozen=True, slots=True)
class Available:
    """What one source holds."""

    name: str
    rows: int
    tokens: int

    def of(self, unit: Unit) -> int:
        return self.rows if unit == "rows" else self.tokens


@dataclass(frozen=True, slots=True)
class Target:
    """What one source is to give: a whole number of rows or tokens, and its share of them all."""

    number: int
    unit: Unit
    share: Fraction


@dataclass(frozen=True, slots=True)
class Given:
    """One source of a mixture: what it holds, what was asked of it, what was drawn from it."""

    available: Available
    target: Target
    rows: int
    tokens: int


def make_plan(
    available: Sequence[Available], amounts: Sequence[Amount | None], total: Amount | None
) -> list[Target]:
    """Return what each source is to give.

    Weights divide `total`; without a total they give the largest mixture in rows that repeats
    none. Amounts of rows or tokens stand for themselves and go without a total. No amount means
    all of the source; under a total, a weight equal to its size. Raises UsageError for a
    contradiction, and SeqitError where an empty source is to give something.
    """
    check_amounts(amounts, total)
    unit: Unit = "tokens" if total and total.unit == "tokens" else "rows"
    if total or any(amount and amount.unit == "weight" for amount in amounts):
        targets = _divide(available, amounts, total, unit)
    else:
        targets = _take(available, amounts)
    for source, target, amount in zip(available, targets, amounts, strict=True):
        # Without a total an empty source would make the largest mixture an empty one, unsaid.
        is_wanted = amount is not None and amount.number > 0
        if (target.number or is_wanted) and not source.of(target.unit):
            share = f"{target.number:,} {target.unit}" if target.number else "a share"
            raise SeqitError(
                f"{source.name} holds no {'records' if not source.rows else 'tokens'}, and "
                f"{share} of the mixture is to come from it. "
                "Leave it out, or give it the weight 0.0."
            )
    return targets


def check_amounts(amounts: Sequence[Amount | None], total: Amount | None) -> None:
    """Raise UsageError where the amounts contradict one another; needs no row to be read."""
    counts = [a for a in amounts if a and a.unit != "weight"]
    weights = [a for a in amounts if a and a.unit == "weight"]
    if not amounts:
        raise UsageError("A mixture needs at least one source.")
    if total and counts:
        raise UsageError(
            "A whole number beside a source is a count, and counts already say how large the "
            "mixture is. Leave out the total, or write weights: 0.4, 2.0 or 40%."
        )
    if weights and len(weights) < len(amounts):
        raise UsageError(
            "Some sources have a weight (0.4, 40%) and others have none (a whole number is a "
            "count, no number is all of the source). Give every source a weight, or none."
        )
    if weights and not any(a.number for a in weights):
        raise UsageError("Every weight is 0: at least one source must give something.")


def _divide(
    available: Sequence[Available],
    amounts: Sequence[Amount | None],
    total: Amount | None,
    unit: Unit,
) -> list[Target]:
    pairs = list(zip(available, amounts, strict=True))
    weights = [a.number if a else Fraction(source.of(unit)) for source, a in pairs]
    whole = sum(weights)
    if not whole:
        raise SeqitError("No source holds a record, so there is nothing to mix.")
    shares = [weight / whole for weight in weights]
    if total:
        number = floor(total.number)
    else:  # the source that runs out first ends the mixture
        number = min(floor(s.of(unit) / q) for s, q in zip(available, shares, strict=True) if q)
    parts = _apportion(number, shares)
    return [Target(part, unit, share) for part, share in zip(parts, shares, strict=True)]


def _apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Divide `total` into whole numbers that add up to it (largest remainders; Hamilton)."""
    parts = [floor(total * share) for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda i: parts[i] - total * shares[i])
    for i in by_rest[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _take(available: Sequence[Available], amounts: Sequence[Amount | None]) -> list[Target]:
    wanted: list[tuple[int, Unit]] = []
    by_tokens = all(a and a.unit == "tokens" for a in amounts)
    for source, amount in zip(available, amounts, strict=True):
        unit: Unit = "tokens" if amount and amount.unit == "tokens" else "rows"
        wanted.append((floor(amount.number) if amount else source.rows, unit))
    # Rows and tokens do not add up: where both are asked for, shares are of the expected rows.
    sizes = [
        Fraction(number)
        if unit == "rows" or by_tokens
        else Fraction(number * source.rows, source.tokens or 1)
        for source, (number, unit) in zip(available, wanted, strict=True)
    ]
    whole = sum(sizes) or Fraction(1)
    return [Target(n, unit, size / whole) for (n, unit), size in zip(wanted, sizes, strict=True)]
