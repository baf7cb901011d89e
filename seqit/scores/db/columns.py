"""SQL columns of rows, taken from their JSON Schemas: explicit, never inferred from data."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from seqit.records.validation import schema

VIEW_SCHEMAS = {
    "records": "record",
    "rejects": "reject",
    "manifests": "manifest",
    "responses": "response",
    "scores": "score",
}
"""View name → the schema of its rows."""

IS_SCALE = "(metric LIKE 'quality%' OR metric = 'reward')"
"""SQL: whether the metric is a scale, so that values that are all 1 are not shares."""

_SCALARS = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}


@cache
def columns(view: str) -> dict[str, str]:
    """Return the columns of a view with their DuckDB types, in the order of the schema."""
    properties = schema(VIEW_SCHEMAS[view]).document["properties"]
    return {name: _sql_type(node) for name, node in properties.items()}


def view_for(keys: Iterable[str]) -> str | None:
    """Return the view whose schema a row with these keys can match; None if there is none."""
    found = set(keys)
    for view, name in VIEW_SCHEMAS.items():
        required = set(schema(name).document["required"])
        if required <= found <= set(columns(view)):
            return view
    return None


def nested_path(field: str) -> str | None:
    """Return the path of a field inside a column of some view, such as lineage.operation."""
    for name in VIEW_SCHEMAS.values():
        for column, node in schema(name).document["properties"].items():
            if field in node.get("properties", ()):
                return f"{column}.{field}"
    return None


def _sql_type(node: dict[str, Any]) -> str:
    if "$ref" in node:  # a reference to another schema is its file name
        node = schema(node["$ref"].removesuffix(".schema.json")).document
    kind = node.get("type", "string" if "enum" in node else None)
    if isinstance(kind, list):
        kind = next(each for each in kind if each != "null")  # any column may be NULL
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "array":
        return f"{_sql_type(node['items'])}[]"
    additional = node.get("additionalProperties")
    if kind == "object" and additional is False:
        fields = (f"{quoted(name)} {_sql_type(part)}" for name, part in node["properties"].items())
        return f"STRUCT({', '.join(fields)})"
    if kind == "object" and isinstance(additional, dict):
        return f"MAP(VARCHAR, {_sql_type(additional)})"
    return "JSON"  # free-form


def quoted(name: str) -> str:
    """Return the name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
