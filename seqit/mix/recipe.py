"""Mixture recipes in YAML, and their conversion to a specification."""

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.mix.notation import (
    Cap,
    HeldOut,
    MixtureSource,
    format_cap,
    parse_cap_amount,
    parse_held_out_amount,
    parse_share,
)
from seqit.mix.spec import Amount, MixtureSpec, Shortfall
from seqit.mix.strata import Strata
from seqit.records.yaml_document import check_document, parse_yaml


@dataclass(frozen=True, slots=True)
class MixRecipe:
    """A complete mixture; the command line overrides parts of it with `dataclasses.replace`."""

    sources: tuple[MixtureSource, ...]
    total: Amount | None = None
    seed: int | None = None
    tokenizer: str | None = None
    temperature: float | None = None
    cap: Amount | None = None
    shortfall: Shortfall | None = None
    strata: Strata | None = None
    held_out: HeldOut | None = None

    def with_caps(self, caps: tuple[Cap, ...]) -> "MixRecipe":
        """Return the recipe with caps from the command line.

        Raises UsageError for a file that is not a source.
        """
        general, own = self.cap, dict[str, Amount]()
        names = [source.name for source in self.sources]
        for name, amount in caps:
            if name is None:
                general = amount
            elif name in names:
                own[name] = amount
            else:
                raise UsageError(
                    f"--cap {name}: there is no such source; there are {', '.join(names)}"
                )
        sources = (dataclasses.replace(s, cap=own.get(s.name, s.cap)) for s in self.sources)
        return dataclasses.replace(self, sources=tuple(sources), cap=general)

    def to_spec(self) -> MixtureSpec:
        """Return the specification of the mixture."""
        return MixtureSpec(
            tuple(source.amount for source in self.sources),
            total=self.total,
            temperature=self.temperature,
            caps=tuple(source.cap or self.cap for source in self.sources),
            shortfall=self.shortfall or "redistribute",
            strata=self.strata,
            held_out=self.held_out.amount if self.held_out else None,
            seed=self.seed or 0,
        )


def read_recipe(text: bytes, name: str) -> MixRecipe:
    """Parse a YAML recipe; `name` is its name in error messages.

    Raises SeqitError, with the field, if it does not match schemas/mixture.schema.json.
    """
    document = parse_yaml(text, name)
    _check_choices(document, name)
    check_document(document, name, "mixture")
    totals = [Amount(Fraction(document[u]), u) for u in ("rows", "tokens") if u in document]
    strata, held = document.get("stratify"), document.get("held_out")
    return MixRecipe(
        tuple(_source(item) for item in document["sources"]),
        totals[0] if totals else None,
        document.get("seed"),
        document.get("tokenizer"),
        document.get("mix_temperature"),
        parse_cap_amount(str(document["cap"])) if "cap" in document else None,
        document.get("shortfall"),
        _strata(strata) if strata else None,
        _held_out(held) if held else None,
    )


def _held_out(item: dict[str, Any]) -> HeldOut:
    if "amount" not in item:
        return HeldOut(item["path"])
    return HeldOut(item["path"], parse_held_out_amount(str(item["amount"])))


def _strata(item: dict[str, Any]) -> Strata:
    shares = item["shares"]
    if shares == "equal":
        return Strata(item["by"])
    return Strata(item["by"], {value: parse_share(str(share)) for value, share in shares.items()})


def _check_choices(document: Any, name: str) -> None:
    """Raise SeqitError for mutually exclusive fields, more clearly than the schema would."""
    if not isinstance(document, dict):
        return
    sources = document.get("sources")
    parts: list[tuple[str, Any, tuple[str, ...]]] = [("the recipe", document, ("rows", "tokens"))]
    for i, item in enumerate(sources if isinstance(sources, list) else ()):
        parts.append((f"sources[{i}]", item, ("weight", "rows", "tokens")))
    for where, part, units in parts:
        found = [unit for unit in units if isinstance(part, dict) and unit in part]
        if len(found) > 1:
            raise SeqitError(f"{name}: {where} has {' and '.join(found)}; give one of them")


def _source(item: dict[str, Any]) -> MixtureSource:
    path = item["path"]
    paths = (path,) if isinstance(path, str) else tuple(path)
    cap = parse_cap_amount(str(item["cap"])) if "cap" in item else None
    for unit in ("rows", "tokens"):
        if unit in item:
            return MixtureSource(paths, Amount(Fraction(item[unit]), unit), cap)
    if "weight" in item:
        return MixtureSource(paths, Amount(parse_share(str(item["weight"])), "weight"), cap)
    return MixtureSource(paths, None, cap)


def as_document(recipe: MixRecipe) -> dict[str, Any]:
    """Return the resolved recipe, as in schemas/mixture.schema.json."""
    document: dict[str, Any] = {"sources": [_item(source) for source in recipe.sources]}
    if recipe.total:
        document[recipe.total.unit] = int(recipe.total.number)
    options = {
        "seed": recipe.seed,
        "tokenizer": recipe.tokenizer,
        "mix_temperature": recipe.temperature,
        "shortfall": recipe.shortfall,
    }
    document |= {name: value for name, value in options.items() if value is not None}
    if recipe.cap:
        document["cap"] = format_cap(recipe.cap)
    if (strata := recipe.strata) is not None:
        shares = strata.shares
        given = "equal" if shares is None else {name: float(q) for name, q in shares.items()}
        document["stratify"] = {"by": strata.by, "shares": given}
    if held := recipe.held_out:
        number = held.amount.number
        amount = float(number) if held.amount.unit == "weight" else int(number)
        document["held_out"] = {"path": held.path, "amount": amount}
    return document


def _item(source: MixtureSource) -> dict[str, Any]:
    item: dict[str, Any] = {"path": source.paths[0] if len(source.paths) == 1 else source.paths}
    if source.amount:
        unit, number = source.amount.unit, source.amount.number
        item[unit] = float(number) if unit == "weight" else int(number)
    if source.cap:
        item["cap"] = format_cap(source.cap)
    return item
