"""How amounts are written on the command line: FILE=0.4, FILE=2e6tokens, 2x, prefix:40%."""

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
    """One source: its files, read as one, how much of it (None: all), and the most of it."""

    paths: tuple[str, ...]
    amount: Amount | None = None
    cap: Amount | None = None

    @property
    def name(self) -> str:
        return ", ".join(self.paths)


class Cap(NamedTuple):
    """The most that one source gives; without a name, that each source gives."""

    name: str | None
    amount: Amount


class HeldOut(NamedTuple):
    """The file of the held-out split, and how much goes there: a share or a number of rows."""

    path: str
    amount: Amount = Amount(HELD_OUT_SHARE, "weight")


def parse_source(text: str) -> MixtureSource:
    """Return the source of ``FILE=AMOUNT``, or all of ``FILE``.

    The amount is a weight where it has a dot, an exponent below 0 or a percent sign (0.4, 2.0,
    40%), a count of rows where it is a whole number (2000, 1e6), and a count of tokens where
    ``tokens`` follows it (2e6tokens). What follows the last ``=`` and is no number belongs to the
    file's name. Raises UsageError for a file without a name.
    """
    path, equals, ending = text.rpartition("=")
    amount = _amount(ending) if equals else None
    if amount is None or amount.unit == "passes":
        return MixtureSource((text,))
    if not path:
        raise UsageError(f"{text!r} names no file; write FILE=AMOUNT, such as sit.jsonl=0.4")
    return MixtureSource((path,), amount)


def _amount(text: str) -> Amount | None:
    """Return the amount that a text is, or None; UsageError for a broken number of tokens."""
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
    """Return a total of rows or tokens, written 50000, 50_000 or 1e6; UsageError if not whole."""
    amount = _AMOUNT.fullmatch(text)
    number = Fraction(amount["number"]) if amount and not amount["unit"] else Fraction(0)
    if number < 1 or number.denominator != 1:
        raise UsageError(f"{text!r} is not a whole number of {unit} above 0, such as 50000 or 1e6")
    return Amount(number, "rows" if unit == "rows" else "tokens")


def share_of(text: str) -> Fraction:
    """Return a weight, written 0.4, 2 or 40%; raises UsageError for anything else."""
    amount = _amount(text)
    if amount is None or amount.unit not in ("weight", "rows"):
        raise UsageError(f"{text!r} is not a share, such as 0.4 or 40%")
    return amount.number


def parse_cap(text: str) -> Cap:
    """Return the cap of ``[FILE=]MOST``, MOST being passes (2x), rows (5000) or tokens."""
    path, equals, ending = text.rpartition("=")
    return Cap(path if equals else None, parse_cap_amount(ending))


def parse_cap_amount(text: str) -> Amount:
    """Return the most that a source gives; raises UsageError for a text that is no such amount."""
    amount = _amount(text)
    if amount is None or amount.unit == "weight":
        raise UsageError(
            f"{text!r} is no cap; write passes over the source (2x), rows (5000) or tokens "
            "(1e6tokens)"
        )
    return amount


def cap_text(amount: Amount) -> str:
    """Return a cap as `parse_cap_amount` reads it."""
    ending = {"passes": "x", "tokens": "tokens"}.get(amount.unit, "")
    number = float(amount.number)
    return f"{int(number) if number.is_integer() else number}{ending}"


def parse_strata(text: str) -> Strata:
    """Return the strata of ``FIELD=VALUE:SHARE,…`` or ``FIELD=equal``."""
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
        shares[value] = share_of(share)
    return Strata(field, shares)


def parse_held_out(text: str) -> HeldOut:
    """Return the held-out split of ``FILE[=SHARE or ROWS]``; without an amount one in twenty."""
    path, equals, ending = text.rpartition("=")
    if equals and _amount(ending):
        if not path:
            raise UsageError(f"{text!r} names no file; write FILE=SHARE, such as test.jsonl=0.05")
        return HeldOut(path, parse_held_out_amount(ending))
    return HeldOut(text)


def parse_held_out_amount(text: str) -> Amount:
    """Return a share between 0 and 1, or a number of rows; raises UsageError for all else."""
    amount = _amount(text)
    if amount is None or amount.unit in ("tokens", "passes"):
        raise UsageError(f"{text!r}: hold out a share of the roots (0.05, 5%) or rows (500)")
    if not amount.number or (amount.unit == "weight" and amount.number >= 1):
        raise UsageError(f"{text!r}: hold out a share between 0 and 1 (0.05, 5%), or rows (500)")
    return amount
