"""A complete filter, from a YAML recipe: its rules in order, and how the rest is sampled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.filter.registry import make_rule, parse_rule
from seqit.filter.rule import ByteSize, Rule, byte_size, format_value
from seqit.records.yaml_document import read_yaml


@dataclass(frozen=True, slots=True)
class FilterRecipe:
    """The complete configuration of a filter run; the command line overrides parts of it."""

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
    """Parse a YAML recipe; `name` is its name in error messages.

    Raises SeqitError, with the field, if it does not match schemas/filter.schema.json or has an
    unknown rule or parameter.
    """
    document = read_yaml(text, name, "filter")
    rules: list[Rule] = []
    for number, item in enumerate(document.pop("rules")):
        try:
            rules.append(_rule(item))
        except UsageError as error:
            raise SeqitError(f"{name}: rules[{number}]: {error}") from None
    values: dict[str, Any] = dict(document)
    values["scores"] = tuple(values.get("scores", ()))
    return FilterRecipe(tuple(rules), **values)


def _rule(item: Any) -> Rule:
    if isinstance(item, str):
        return parse_rule(item)
    return make_rule(item["rule"], [(k, _text(v)) for k, v in item.items() if k != "rule"])


def _text(value: Any) -> str:
    """Return a parameter as written on the command line: a list is joined by ``+``."""
    return format_value(tuple(value) if isinstance(value, list) else value)


def override(rules: Iterable[Rule], added: Sequence[Rule], skip: Iterable[str]) -> list[Rule]:
    """Return the rules without those in `skip`; an added rule replaces those of the same name."""
    remaining = list(added)
    result: list[Rule] = []
    replaced = {rule.name for rule in added}
    for rule in rules:
        if rule.name in replaced:
            result += [each for each in remaining if each.name == rule.name]
            remaining = [each for each in remaining if each.name != rule.name]
        elif rule.name not in skip:
            result.append(rule)
    return result + remaining


def split_memory(rules: Sequence[Rule], text: str) -> list[Rule]:
    """Return the rules with the memory divided equally among those that have a `memory` parameter.

    A rule with an explicit `memory` keeps it. Raises UsageError if `text` is not a size.
    """
    try:
        whole = byte_size(text)
    except ValueError as error:
        raise UsageError(f"the memory must be {error}; found {text!r}") from None
    sharing = [
        ("memory", getattr(rule, "memory", None)) in [entry[:2] for entry in rule.parameters()]
        for rule in rules
    ]
    part = ByteSize(max(whole // max(1, sum(sharing)), byte_size("1MB")))
    return [
        replace(rule, **{"memory": part}) if shares else rule
        for rule, shares in zip(rules, sharing, strict=True)
    ]


def as_document(recipe: FilterRecipe) -> dict[str, Any]:
    """Return the resolved recipe with all parameters, as in schemas/filter.schema.json."""
    document: dict[str, Any] = {"rules": [_item(rule) for rule in recipe.rules]}
    for entry in fields(recipe):
        value = getattr(recipe, entry.name)
        if entry.name != "rules" and value not in (None, ()):
            listed = list(value) if isinstance(value, tuple) else value
            document[entry.name] = listed
    return document


def _item(rule: Rule) -> dict[str, Any]:
    item: dict[str, Any] = {"rule": rule.name}
    for name, _, _ in rule.parameters():
        value = getattr(rule, name)
        if value is not None:
            listed = list(value) if isinstance(value, tuple) else value
            item[name] = str(value) if isinstance(value, ByteSize) else listed
    return item


def rule_table(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the lines of a table of what each rule saw and removed."""
    table = [["rule", "before", "removed", "after", ""]]
    for rule, numbers in counts.items():
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
