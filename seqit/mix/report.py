"""Requested against achieved: the report of a mixture, for the manifest and for people."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from seqit.mix.spec import Amount, AmountUnit, Given, MixtureSpec, Size
from seqit.mix.tokens import Counter


def report(
    sources: Sequence[Given], strata: Sequence[Given], wish: MixtureSpec, counter: Counter
) -> dict[str, Any]:
    """Return what was asked of each source and stratum, and what it gave.

    Shares are 0 to 1: of the tokens where every source was asked for tokens, else of the rows.
    `repeats` is how often the mixture holds a row of the source or stratum, on average.
    """
    unit: AmountUnit = "tokens" if all(s.target.unit == "tokens" for s in sources) else "rows"
    whole = sum((s.drawn for s in sources), Size())
    plan: dict[str, Any] = {"unit": unit, "seed": wish.seed, "token_counter": counter.name}
    if counter.tokenizer:
        plan["tokenizer"] = {"name": counter.tokenizer, "sha256": counter.sha256}
    if wish.total:
        plan["requested"] = {wish.total.unit: int(wish.total.number)}
    if wish.temperature is not None:
        plan["temperature"] = wish.temperature if isfinite(wish.temperature) else "inf"
    if any(wish.caps):
        plan["shortfall"] = wish.shortfall
    plan |= {"rows": whole.rows, "tokens": whole.tokens}
    plan["sources"] = [_source(each, unit, whole) for each in sources]
    if wish.strata:
        values = [{"value": each.available.name} | _entry(each, unit, whole) for each in strata]
        plan["strata"] = {"by": wish.strata.by, "values": values}
    return plan


def _source(given: Given, unit: AmountUnit, whole: Size) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": given.available.name} | _entry(given, unit, whole)
    if given.cap:
        entry["cap"] = {given.cap.unit: float(given.cap.number)}
    if given.available.held_out.rows:
        entry["held_out"] = _size(given.available.held_out)
    return entry


def _entry(given: Given, unit: AmountUnit, whole: Size) -> dict[str, Any]:
    target, drawn, held = given.target, given.drawn, given.available.size
    entry: dict[str, Any] = {
        "available": _size(held),
        "requested": {target.unit: target.asked, "share": float(target.share)},
        "achieved": _size(drawn) | {"share": drawn.of(unit) / (whole.of(unit) or 1)},
        "repeats": drawn.rows / held.rows if held.rows else 0.0,
    }
    if target.number < target.asked:
        entry["short"] = {target.unit: target.asked - target.number}
    return entry


def held_out(asked: Amount, roots: int, size: Size) -> dict[str, Any]:
    """Return what the plan says of the held-out split."""
    share = {"share": float(asked.number)} if asked.unit == "weight" else None
    return {
        "requested": share or {asked.unit: int(asked.number)},
        "achieved": {"roots": roots} | _size(size),
    }


def _size(size: Size) -> dict[str, Any]:
    return {"rows": size.rows, "tokens": size.tokens}


def lines(plan: dict[str, Any]) -> list[str]:
    """Return a report as a table: a line a source, one for the mixture, those that explain."""
    heads = ("available", "requested", "rows", "tokens", "asked", "share", "repeats")
    table = [("source", *heads), *((s["name"], *_cells(s)) for s in plan["sources"])]
    table.append(("mixture", "", "", f"{plan['rows']:,}", f"{plan['tokens']:,}", "", "", ""))
    found = _aligned(table)
    if strata := plan.get("strata"):
        values = ((value["value"], *_cells(value)) for value in strata["values"])
        found += _aligned([(strata["by"], *heads), *values])
    found += [_short(source["name"], source) for source in plan["sources"] if "short" in source]
    if strata:
        values = strata["values"]
        found += [_short(f"{strata['by']} {v['value']}", v) for v in values if "short" in v]
    if held := plan.get("held_out"):
        numbers = (f"{name} {number:,}" for name, number in held["achieved"].items())
        found.append(f"held out: {', '.join(numbers)}")
    note = f"shares of {plan['unit']}; tokens {plan['token_counter']}; seed {plan['seed']}"
    return [*found, note]


def _cells(entry: dict[str, Any]) -> tuple[str, ...]:
    requested, achieved = entry["requested"], entry["achieved"]
    unit = "tokens" if "tokens" in requested else "rows"
    return (
        f"{entry['available'][unit]:,} {unit}",
        f"{requested[unit]:,} {unit}",
        f"{achieved['rows']:,}",
        f"{achieved['tokens']:,}",
        f"{requested['share']:.2%}",
        f"{achieved['share']:.2%}",
        f"{entry['repeats']:.2f}",
    )


def _short(name: str, entry: dict[str, Any]) -> str:
    ((unit, number),) = entry["short"].items()
    return f"{name}: {number:,} {unit} less than asked, for the caps"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_line(row, widths) for row in table]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *cells]).rstrip()
