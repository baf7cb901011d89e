"""What a mixture is made of, from the command line (FILE=AMOUNT) or from a YAML recipe."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import orjson

from seqit.errors import SeqitError, UsageError
from seqit.mix.plan import Amount
from seqit.records.validation import schema

_AMOUNT = re.compile(r"(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<unit>%|tokens|)")


@dataclass(frozen=True, slots=True)
class Source:
    """One source: its files, read as one, and how much of it (None: all)."""

    paths: tuple[str, ...]
    amount: Amount | None = None

    @property
    def name(self) -> str:
        return ", ".join(self.paths)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole mixture; the command line replaces parts of it with `dataclasses.replace`."""

    sources: tuple[Source, ...]
    total: Amount | None = None
    seed: int | None = None
    tokenizer: str | None = None


def parse_source(text: str) -> Source:
    """Return the source of ``FILE=AMOUNT``, or all of ``FILE``.

    The amount is a weight where it has a dot, an exponent below 0 or a percent sign (0.4, 2.0,
    40%), a count of rows where it is a whole number (2000, 1e6), and a count of tokens where
    ``tokens`` follows it (2e6tokens). What follows the last ``=`` and is no number belongs to the
    file's name. Raises UsageError for a file without a name.
    """
    path, equals, ending = text.rpartition("=")
    amount = _AMOUNT.fullmatch(ending) if equals else None
    if amount is None:
        return Source((text,))
    if not path:
        raise UsageError(f"{text!r} names no file; write FILE=AMOUNT, such as sit.jsonl=0.4")
    number = Fraction(amount["number"])
    if amount["unit"] == "%":
        return Source((path,), Amount(number / 100, "weight"))
    is_whole = "." not in amount["number"] and number.denominator == 1
    if amount["unit"] == "tokens":
        if not is_whole:
            raise UsageError(f"{text!r}: a number of tokens must be whole")
        return Source((path,), Amount(number, "tokens"))
    return Source((path,), Amount(number, "rows" if is_whole else "weight"))


def parse_total(text: str, unit: str) -> Amount:
    """Return a total of rows or tokens, written 50000, 50_000 or 1e6; UsageError if not whole."""
    amount = _AMOUNT.fullmatch(text)
    number = Fraction(amount["number"]) if amount and not amount["unit"] else Fraction(0)
    if number < 1 or number.denominator != 1:
        raise UsageError(f"{text!r} is not a whole number of {unit} above 0, such as 50000 or 1e6")
    return Amount(number, "rows" if unit == "rows" else "tokens")


def read_recipe(text: bytes, name: str) -> Recipe:
    """Return the recipe of a YAML document; `name` stands for it in errors.

    Raises SeqitError, with the field, where it does not match schemas/mixture.schema.json.
    """
    document = _load(text, name)
    _check_choices(document, name)
    check = schema("mixture")
    if not check.is_valid(document):
        raise SeqitError(f"{name}: {check.problems(document)[0]}")
    totals = [Amount(Fraction(document[u]), u) for u in ("rows", "tokens") if u in document]
    return Recipe(
        tuple(_source(item) for item in document["sources"]),
        totals[0] if totals else None,
        document.get("seed"),
        document.get("tokenizer"),
    )


def _load(text: bytes, name: str) -> Any:
    import yaml

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqitError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return orjson.loads(orjson.dumps(document))
    except (TypeError, orjson.JSONDecodeError) as error:
        raise SeqitError(f"{name} holds a value that JSON has not: {error}; quote it") from None


def _check_choices(document: Any, name: str) -> None:
    """Say which fields exclude one another; the schema knows, but cannot say it well."""
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


def _source(item: dict[str, Any]) -> Source:
    path = item["path"]
    paths = (path,) if isinstance(path, str) else tuple(path)
    for unit in ("rows", "tokens"):
        if unit in item:
            return Source(paths, Amount(Fraction(item[unit]), unit))
    weight = item.get("weight")
    if weight is None:
        return Source(paths)
    text = str(weight)
    number = Fraction(text.removesuffix("%"))
    return Source(paths, Amount(number / 100 if text.endswith("%") else number, "weight"))


def as_document(recipe: Recipe) -> dict[str, Any]:
    """Return the resolved recipe, as schemas/mixture.schema.json has it."""
    document: dict[str, Any] = {"sources": [_item(source) for source in recipe.sources]}
    if recipe.total:
        document[recipe.total.unit] = int(recipe.total.number)
    if recipe.seed is not None:
        document["seed"] = recipe.seed
    if recipe.tokenizer is not None:
        document["tokenizer"] = recipe.tokenizer
    return document


def _item(source: Source) -> dict[str, Any]:
    item: dict[str, Any] = {"path": source.paths[0] if len(source.paths) == 1 else source.paths}
    if source.amount:
        unit, number = source.amount.unit, source.amount.number
        item[unit] = float(number) if unit == "weight" else int(number)
    return item
