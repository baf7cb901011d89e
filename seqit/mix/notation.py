"""Parsers of amounts on the command line: FILE=0.4, FILE=2e6tokens, 2x, prefix:40%."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from seqit.errors import UsageError
from seqit.mix.spec import Amount
from seqit.mix.strata import Strata

_AMOUNT = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<unit>%|tokens|x|)")
HELD_OUT_SHARE = Fraction(1, 20)


@dataclass(frozen=True, slots=True)
class MixtureSource:
    """One source: its files, read as one, its amount (None: all of it), and its cap."""

    paths: tuple[str, ...]
    amount: Amount | None = None
    cap: Amount | None = None

    @property
    def name(self) -> str:
        return ", ".join(self.paths)


class Cap(NamedTuple):
    """Upper bound of one source; without a name, of each source."""

    name: str | None
    amount: Amount


class HeldOut(NamedTuple):
    """The file of the held-out split, and its amount: a share or a number of rows."""

    path: str
    amount: Amount = Amount(HELD_OUT_SHARE, "weight")


def parse_source(text: str) -> MixtureSource:
    """Parse ``FILE=AMOUNT``, or ``FILE`` for all of it.

    The amount is a weight if it has a dot, an exponent below 0 or a percent sign (0.4, 2.0, 40%),
    a count of rows if it is a whole number (2000, 1e6), and a count of tokens if it ends with
    ``tokens`` (2e6tokens). Text after the last ``=`` that is not an amount is part of the file
    name. Raises UsageError for an empty file name.
    """
    path, equals, ending = text.rpartition("=")
    amount = _amount(ending) if equals else None
    if amount is None or amount.unit == "passes":
        return MixtureSource((text,))
    if not path:
        raise UsageError(f"{text!r} names no file; write FILE=AMOUNT, such as sit.jsonl=0.4")
    return MixtureSource((path,), amount)


def _amount(text: str) -> Amount | None:
    """Parse an amount; None if the text is none. Raises UsageError for a fraction of a token."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    number = Fraction(found["number"])
    if found["unit"] == "%":
        return Amount(number / 100, "weight")
    if found["unit"] == "x":
        return Amount(number, "passes")
    is_whole = "." not in found["number"] and number.denominator == 1
    if found["unit"] == "tokens":
        if not is_whole:
            raise UsageError(f"{text!r}: a number of tokens must be whole")
        return Amount(number, "tokens")
    return Amount(number, "rows" if is_whole else "weight")


def parse_total(text: str, unit: str) -> Amount:
    """Parse a total in rows or tokens: 50000, 50_000 or 1e6; raises UsageError if not whole."""
    amount = _AMOUNT.fullmatch(text)
    number = Fraction(amount["number"]) if amount and not amount["unit"] else Fraction(0)
    if number < 1 or number.denominator != 1:
        raise UsageError(f"{text!r} is not a whole number of {unit} above 0, such as 50000 or 1e6")
    return Amount(number, "rows" if unit == "rows" else "tokens")


def parse_share(text: str) -> Fraction:
    """Parse a weight: 0.4, 2 or 40%; raises UsageError for anything else."""
    amount = _amount(text)
    if amount is None or amount.unit not in ("weight", "rows"):
        raise UsageError(f"{text!r} is not a share, such as 0.4 or 40%")
    return amount.number


def parse_cap(text: str) -> Cap:
    """Parse a cap, ``[FILE=]MOST``, where MOST is passes (2x), rows (5000) or tokens."""
    path, equals, ending = text.rpartition("=")
    return Cap(path if equals else None, parse_cap_amount(ending))


def parse_cap_amount(text: str) -> Amount:
    """Parse the amount of a cap; raises UsageError if it is not passes, rows or tokens."""
    amount = _amount(text)
    if amount is None or amount.unit == "weight":
        raise UsageError(
            f"{text!r} is not a cap; write passes over the source (2x), rows (5000) or tokens "
            "(1e6tokens)"
        )
    return amount


def format_cap(amount: Amount) -> str:
    """Format a cap as `parse_cap_amount` parses it."""
    ending = {"passes": "x", "tokens": "tokens"}.get(amount.unit, "")
    number = float(amount.number)
    return f"{int(number) if number.is_integer() else number}{ending}"


def parse_strata(text: str) -> Strata:
    """Parse strata, ``FIELD=VALUE:SHARE,…`` or ``FIELD=equal``."""
    field, equals, ending = text.partition("=")
    if not (field and equals and ending):
        raise UsageError(
            f"{text!r}: write a field and the shares of its values, such as "
            "operation=prefix:0.4,suffix:0.3,decompose:0.3, or operation=equal"
        )
    if ending == "equal":
        return Strata(field)
    shares: dict[str, Fraction] = {}
    for part in ending.split(","):
        value, colon, share = part.rpartition(":")
        if not (value and colon):
            raise UsageError(
                f"{part!r}: write a value of {field} and its share, as in {value or part}:0.4"
            )
        if value in shares:
            raise UsageError(f"{field} {value!r} has two shares; give one")
        shares[value] = parse_share(share)
    return Strata(field, shares)


def parse_held_out(text: str) -> HeldOut:
    """Parse the held-out split, ``FILE[=SHARE or ROWS]``; without an amount, 5% are held out."""
    path, equals, ending = text.rpartition("=")
    if equals and _amount(ending):
        if not path:
            raise UsageError(f"{text!r} names no file; write FILE=SHARE, such as test.jsonl=0.05")
        return HeldOut(path, parse_held_out_amount(ending))
    return HeldOut(text)


def parse_held_out_amount(text: str) -> Amount:
    """Parse a share between 0 and 1, or a number of rows; raises UsageError for all else."""
    amount = _amount(text)
    if amount is None or amount.unit in ("tokens", "passes"):
        raise UsageError(f"{text!r}: hold out a share of the roots (0.05, 5%) or rows (500)")
    if not amount.number or (amount.unit == "weight" and amount.number >= 1):
        raise UsageError(f"{text!r}: hold out a share between 0 and 1 (0.05, 5%), or rows (500)")
    return amount
