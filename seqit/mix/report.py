"""The report of a mixture, requested against achieved, for the manifest and as text."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from seqit.mix.spec import Amount, AmountUnit, Contribution, MixtureSpec, Size
from seqit.mix.tokens import TokenCounter


def build_report(
    sources: Sequence[Contribution],
    strata: Sequence[Contribution],
    spec: MixtureSpec,
    counter: TokenCounter,
) -> dict[str, Any]:
    """Return what was requested of each source and stratum, and what was sampled.

    Shares are 0 to 1: of the tokens if all sources are counted in tokens, else of the rows.
    `repeats` is how often a row of the source or stratum is in the mixture, on average.
    """
    unit: AmountUnit = "tokens" if all(s.target.unit == "tokens" for s in sources) else "rows"
    whole = sum((s.sampled for s in sources), Size())
    plan: dict[str, Any] = {"unit": unit, "seed": spec.seed, "token_counter": counter.name}
    if counter.tokenizer:
        plan["tokenizer"] = {"name": counter.tokenizer, "sha256": counter.sha256}
    if spec.total:
        plan["requested"] = {spec.total.unit: int(spec.total.number)}
    if spec.temperature is not None:
        plan["temperature"] = spec.temperature if isfinite(spec.temperature) else "inf"
    if any(spec.caps):
        plan["shortfall"] = spec.shortfall
    plan |= {"rows": whole.rows, "tokens": whole.tokens}
    plan["sources"] = [_source(each, unit, whole) for each in sources]
    if spec.strata:
        values = [{"value": each.available.name} | _entry(each, unit, whole) for each in strata]
        plan["strata"] = {"by": spec.strata.by, "values": values}
    return plan


def _source(contribution: Contribution, unit: AmountUnit, whole: Size) -> dict[str, Any]:
    available = contribution.available
    entry: dict[str, Any] = {"name": available.name} | _entry(contribution, unit, whole)
    if contribution.cap:
        entry["cap"] = {contribution.cap.unit: float(contribution.cap.number)}
    if available.held_out.rows:
        entry["held_out"] = _size(available.held_out)
    return entry


def _entry(contribution: Contribution, unit: AmountUnit, whole: Size) -> dict[str, Any]:
    target, sampled = contribution.target, contribution.sampled
    available = contribution.available.size
    entry: dict[str, Any] = {
        "available": _size(available),
        "requested": {target.unit: target.requested, "share": float(target.share)},
        "achieved": _size(sampled) | {"share": sampled.in_unit(unit) / (whole.in_unit(unit) or 1)},
        "repeats": sampled.rows / available.rows if available.rows else 0.0,
    }
    if target.planned < target.requested:
        entry["short"] = {target.unit: target.requested - target.planned}
    return entry


def held_out_report(requested: Amount, roots: int, size: Size) -> dict[str, Any]:
    """Return the report of the held-out split."""
    share = {"share": float(requested.number)} if requested.unit == "weight" else None
    return {
        "requested": share or {requested.unit: int(requested.number)},
        "achieved": {"roots": roots} | _size(size),
    }


def _size(size: Size) -> dict[str, Any]:
    return {"rows": size.rows, "tokens": size.tokens}


def format_report(plan: dict[str, Any]) -> list[str]:
    """Format a report as lines: a table with one row per source, and notes."""
    headings = ("available", "requested", "rows", "tokens", "asked", "share", "repeats")
    table = [("source", *headings), *((s["name"], *_row_cells(s)) for s in plan["sources"])]
    table.append(("mixture", "", "", f"{plan['rows']:,}", f"{plan['tokens']:,}", "", "", ""))
    lines = _align(table)
    if strata := plan.get("strata"):
        values = ((value["value"], *_row_cells(value)) for value in strata["values"])
        lines += _align([(strata["by"], *headings), *values])
    lines += [_shortfall_line(each["name"], each) for each in plan["sources"] if "short" in each]
    if strata:
        values = strata["values"]
        lines += [
            _shortfall_line(f"{strata['by']} {v['value']}", v) for v in values if "short" in v
        ]
    if held_out := plan.get("held_out"):
        numbers = (f"{name} {number:,}" for name, number in held_out["achieved"].items())
        lines.append(f"held out: {', '.join(numbers)}")
    note = f"shares of {plan['unit']}; tokens {plan['token_counter']}; seed {plan['seed']}"
    return [*lines, note]


def _row_cells(entry: dict[str, Any]) -> tuple[str, ...]:
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


def _shortfall_line(name: str, entry: dict[str, Any]) -> str:
    ((unit, number),) = entry["short"].items()
    return f"{name}: {number:,} {unit} less than asked, for the caps"


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_format_row(row, widths) for row in table]


def _format_row(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *cells]).rstrip()
