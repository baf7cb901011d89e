"""Requested against achieved: the report of a mixture, for the manifest and for people."""

from collections.abc import Sequence
from typing import Any

from seqit.mix.plan import Given, Unit


def report(sources: Sequence[Given], seed: int, counter: str) -> dict[str, Any]:
    """Return what was asked of each source and what it gave.

    Shares are 0 to 1: of the tokens where every source was asked for tokens, else of the rows.
    `repeats` is how often the mixture holds a row of the source, on average.
    """
    by_tokens = all(source.target.unit == "tokens" for source in sources)
    unit: Unit = "tokens" if by_tokens else "rows"
    rows, tokens = sum(s.rows for s in sources), sum(s.tokens for s in sources)
    total = (tokens if by_tokens else rows) or 1
    return {
        "unit": unit,
        "seed": seed,
        "token_counter": counter,
        "rows": rows,
        "tokens": tokens,
        "sources": [
            {
                "name": s.available.name,
                "available": {"rows": s.available.rows, "tokens": s.available.tokens},
                "requested": {s.target.unit: s.target.number, "share": float(s.target.share)},
                "achieved": {
                    "rows": s.rows,
                    "tokens": s.tokens,
                    "share": (s.tokens if by_tokens else s.rows) / total,
                },
                "repeats": s.rows / s.available.rows if s.available.rows else 0.0,
            }
            for s in sources
        ],
    }


def lines(plan: dict[str, Any]) -> list[str]:
    """Return a report as a table: a line a source, one for the mixture, one that explains."""
    table = [("source", "available", "requested", "rows", "tokens", "asked", "share", "repeats")]
    for source in plan["sources"]:
        requested, achieved = source["requested"], source["achieved"]
        unit = "tokens" if "tokens" in requested else "rows"
        table.append(
            (
                source["name"],
                f"{source['available'][unit]:,} {unit}",
                f"{requested[unit]:,} {unit}",
                f"{achieved['rows']:,}",
                f"{achieved['tokens']:,}",
                f"{requested['share']:.2%}",
                f"{achieved['share']:.2%}",
                f"{source['repeats']:.2f}",
            )
        )
    table.append(("mixture", "", "", f"{plan['rows']:,}", f"{plan['tokens']:,}", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    note = f"shares of {plan['unit']}; tokens {plan['token_counter']}; seed {plan['seed']}"
    return [*(_line(row, widths) for row in table), note]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    cells = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *cells]).rstrip()
