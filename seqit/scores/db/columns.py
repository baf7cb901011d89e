"""The SQL columns of a row, read from its JSON Schema: explicit, never inferred from data."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from seqit.records.validation import schema

KINDS = {
    "records": "record",
    "rejects": "reject",
    "manifests": "manifest",
    "responses": "response",
    "scores": "score",
}
"""View name → the schema of its rows."""

IS_SCALE = "(metric LIKE 'quality%' OR metric = 'reward')"
"""SQL: the score is on a scale of its own; values that are all 1 are no shares."""

_SCALARS = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}


@cache
def columns(view: str) -> dict[str, str]:
    """Return the columns of a view with their DuckDB types, in the order of the schema."""
    properties = schema(KINDS[view]).document["properties"]
    return {name: _type(node) for name, node in properties.items()}


def kind_of(keys: Iterable[str]) -> str | None:
    """Return the view whose schema a row with these keys can match; None for foreign rows."""
    found = set(keys)
    for view, name in KINDS.items():
        required = set(schema(name).document["required"])
        if required <= found <= set(columns(view)):
            return view
    return None


def path_of(field: str) -> str | None:
    """Return where a field stands inside a column of some view: lineage.operation."""
    for name in KINDS.values():
        for column, node in schema(name).document["properties"].items():
            if field in node.get("properties", ()):
                return f"{column}.{field}"
    return None


def _type(node: dict[str, Any]) -> str:
    if "$ref" in node:  # one schema names another by its file
        node = schema(node["$ref"].removesuffix(".schema.json")).document
    kind = node.get("type", "string" if "enum" in node else None)
    if isinstance(kind, list):
        kind = next(each for each in kind if each != "null")  # any column may be NULL
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "array":
        return f"{_type(node['items'])}[]"
    others = node.get("additionalProperties")
    if kind == "object" and others is False:
        fields = (f"{quoted(name)} {_type(part)}" for name, part in node["properties"].items())
        return f"STRUCT({', '.join(fields)})"
    if kind == "object" and isinstance(others, dict):
        return f"MAP(VARCHAR, {_type(others)})"
    return "JSON"  # free-form: whatever it holds


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL string."""
    return "'" + text.replace("'", "''") + "'"
