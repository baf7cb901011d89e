"""Check that a query only reads the views.

DuckDB's own lock (no external access but the given files) is not enough: its list of allowed
paths permits writing too, so `WITH x AS (COPY … TO 'the given file')`, EXPLAIN ANALYZE COPY and
functions that execute SQL text could overwrite the given files. Therefore the query's syntax tree,
as returned by DuckDB's parser, must consist of parts that are known to be harmless.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from seqit.errors import SeqitError

_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

_TABLE_FUNCTIONS = {"unnest", "range", "generate_series", "repeat", "json_each", "json_tree"}

_READS_ONLY = (
    "A query can only read: it must be one SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE"
)


def check_query(syntax: str) -> None:
    """Raise SeqitError unless the result of DuckDB's json_serialize_sql is one reading query."""
    try:
        tree = orjson.loads(syntax)
    except orjson.JSONDecodeError:  # orjson stops at 1,024 levels
        raise SeqitError("The query is nested too deeply; split it with WITH.") from None
    if tree["error"]:
        if tree["error_type"] == "parser":
            raise SeqitError(f"The query is not SQL: {tree['error_message']}.")
        raise SeqitError(f"{_READS_ONLY} (or PIVOT … ON x IN (…), which names its columns).")
    count = len(tree["statements"])
    if count != 1:
        raise SeqitError(f"{_READS_ONLY}; this has {count or 'no'} statements.")
    for node in _walk(tree["statements"]):
        _check_node(node)


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
        what = kind.removesuffix("_QUERY_NODE").removesuffix("_NODE")
        raise SeqitError(f"{_READS_ONLY}; this one contains {what}.")
    if kind == "TABLE_FUNCTION":
        name = node["function"]["function_name"].lower()
        if name not in _TABLE_FUNCTIONS:
            raise SeqitError(
                f"The query may not call {name}() in FROM: it reads the views of the given files, "
                f"and of table functions only {', '.join(sorted(_TABLE_FUNCTIONS))}. Name a file "
                "on the command line to make it a view."
            )


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all dictionaries of the tree."""
    pending = [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def check_expression(syntax: str) -> list[str]:
    """Return the columns that ``SELECT (expression) FROM scores`` names.

    Raises SeqitError unless it is a single expression that only reads.
    """
    check_query(syntax)
    node = orjson.loads(syntax)["statements"][0]["node"]
    parts = ("where_clause", "group_expressions", "having", "qualify", "sample", "modifiers")
    is_expression = (
        len(node.get("select_list", ())) == 1
        and node["from_table"].get("table_name") == "scores"
        and not any(node.get(part) for part in parts)
    )
    if not is_expression:
        raise SeqitError("Write one expression over the scores, such as quality >= 4.")
    columns = [part for part in _walk(node) if part.get("class") == "COLUMN_REF"]
    return [part["column_names"][-1] for part in columns]
