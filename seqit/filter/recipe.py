"""A filter as a whole: its rules in order and what is drawn of the rest, from a YAML recipe."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.filter.registry import make_rule, parse_rule
from seqit.filter.rule import ByteSize, Rule, size, written
from seqit.records.yaml_document import read_document


@dataclass(frozen=True, slots=True)
class FilterRecipe:
    """All that a run of the filter does; the command line replaces parts of it."""

    rules: tuple[Rule, ...]
    keep: str | None = None
    scores: tuple[str, ...] = ()
    match_length: str | None = None
    tokenizer: str | None = None
    diverse: int | None = None
    embeddings: str | None = None
    seed: int | None = None
    memory: str | None = None


def read_recipe(text: bytes, name: str) -> FilterRecipe:
    """Return the recipe of a YAML document; `name` stands for it in errors.

    Raises SeqitError, with the field, where it does not match schemas/filter.schema.json, and
    UsageError for an unknown rule or parameter.
    """
    document = read_document(text, name, "filter")
    rules: list[Rule] = []
    for number, item in enumerate(document.pop("rules")):
        try:
            rules.append(_rule(item))
        except UsageError as error:
            raise SeqitError(f"{name}: rules[{number}]: {error}") from None
    values = {key.replace("-", "_"): value for key, value in document.items()}
    values["scores"] = tuple(values.get("scores", ()))
    return FilterRecipe(tuple(rules), **values)


def _rule(item: Any) -> Rule:
    if isinstance(item, str):
        return parse_rule(item)
    return make_rule(item["rule"], [(k, _text(v)) for k, v in item.items() if k != "rule"])


def _text(value: Any) -> str:
    """Return a parameter as the command line would have it: a list is joined by ``+``."""
    return written(tuple(value) if isinstance(value, list) else value)


def override(rules: Iterable[Rule], added: Sequence[Rule], skip: Iterable[str]) -> list[Rule]:
    """Return the rules without those to skip, an added one in the place of those of its name."""
    left = list(added)
    chosen: list[Rule] = []
    replaced = {rule.name for rule in added}
    for rule in rules:
        if rule.name in replaced:
            chosen += [each for each in left if each.name == rule.name]
            left = [each for each in left if each.name != rule.name]
        elif rule.name not in skip:
            chosen.append(rule)
    return chosen + left


def share_memory(rules: Sequence[Rule], text: str) -> list[Rule]:
    """Return the rules, those that remember records with equal parts of so much memory.

    A rule whose own parameter says how much keeps to that. Raises UsageError for no size.
    """
    try:
        whole = size(text)
    except ValueError as error:
        raise UsageError(f"the memory must be {error}; found {text!r}") from None
    sharing = [
        ("memory", getattr(rule, "memory", None)) in [entry[:2] for entry in rule.parameters()]
        for rule in rules
    ]
    part = ByteSize(max(whole // max(1, sum(sharing)), size("1MB")))
    return [
        replace(rule, **{"memory": part}) if shares else rule
        for rule, shares in zip(rules, sharing, strict=True)
    ]


def as_document(recipe: FilterRecipe) -> dict[str, Any]:
    """Return the resolved recipe, as schemas/filter.schema.json has it, every parameter told."""
    document: dict[str, Any] = {"rules": [_item(rule) for rule in recipe.rules]}
    for entry in fields(recipe):
        value = getattr(recipe, entry.name)
        if entry.name != "rules" and value not in (None, ()):
            listed = list(value) if isinstance(value, tuple) else value
            document[entry.name.replace("_", "-")] = listed
    return document


def _item(rule: Rule) -> dict[str, Any]:
    item: dict[str, Any] = {"rule": rule.name}
    for name, _, _ in rule.parameters():
        value = getattr(rule, name)
        if value is not None:
            listed = list(value) if isinstance(value, tuple) else value
            item[name] = str(value) if isinstance(value, ByteSize) else listed
    return item


def table_of(tally: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the lines of a table from what the engine tells of each rule."""
    table = [["rule", "before", "removed", "after", ""]]
    for rule, numbers in tally.items():
        seen, removed = numbers["seen"], numbers["removed"]
        rest = (f"{k} {v:,}" for k, v in numbers.items() if k not in ("seen", "removed"))
        table.append([rule, f"{seen:,}", f"{removed:,}", f"{seen - removed:,}", ", ".join(rest)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [cells[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(cells[1:4], widths[1:4], strict=True)]
            + [cells[4]]
        ).rstrip()
        for cells in table
    ]
