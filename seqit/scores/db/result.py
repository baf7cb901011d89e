"""The result of a query: columns, and rows as text or as JSON."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson

_NESTED = ("struct", "list", "array", "map", "union")
_FLOATS = ("float", "double")
_NUMBERS = (
    *_FLOATS,
    *("tinyint", "smallint", "integer", "bigint", "hugeint", "decimal"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
)

TextRow = tuple[str | None, ...]


class QueryResult:
    """A query that has not run yet: each iteration runs it, with one batch of rows in memory."""

    def __init__(
        self,
        types: dict[str, Any],
        table: str,
        run: Callable[[str], Iterator[TextRow]],
        parquet: Callable[[str], Iterator[bytes]],
    ) -> None:
        self.columns = list(types)
        self._types = list(types.values())
        self._table = table
        self._run = run
        self._parquet = parquet

    @property
    def are_numbers(self) -> list[bool]:
        """Which columns are numeric: tables align them to the right."""
        return [kind.id in _NUMBERS for kind in self._types]

    def text_rows(self) -> Iterator[TextRow]:
        """Yield rows of text as DuckDB writes each type; nested values as JSON."""
        yield from self._rows(_as_text)

    def json_rows(self) -> Iterator[TextRow]:
        """Yield rows of JSON texts; NaN and infinities, which JSON does not have, as null."""
        yield from self._rows(_as_json)

    def parquet(self) -> Iterator[bytes]:
        """Yield the bytes of a Parquet file with the columns' types (JSON as JSON text)."""
        return self._parquet(self._table)

    def _rows(self, expression: Callable[[str, Any], str]) -> Iterator[TextRow]:
        names = [f"c{i}" for i in range(len(self._types))]
        listing = ", ".join(map(expression, names, self._types))
        query = f"SELECT {listing} FROM {self._table} AS result({', '.join(names)})"
        nested = [i for i, kind in enumerate(self._types) if kind.id in _NESTED]
        for row in self._run(query):
            if not nested:
                yield row
                continue
            values = list(row)
            for i in nested:
                if (text := values[i]) is not None:
                    value = _without_nulls(_loads(text), self._types[i])
                    values[i] = orjson.dumps(value).decode()
            yield tuple(values)


def _as_text(name: str, kind: Any) -> str:
    return f"CAST({f'to_json({name})' if kind.id in _NESTED else name} AS VARCHAR)"


def _as_json(name: str, kind: Any) -> str:
    if kind.id in _FLOATS:
        return f"CASE WHEN isfinite({name}) THEN CAST(to_json({name}) AS VARCHAR) END"
    return f"CAST(to_json({name}) AS VARCHAR)"


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # DuckDB writes a nested NaN, which orjson rejects


def _without_nulls(value: Any, kind: Any) -> Any:
    """Leave out the fields of a struct that are NULL, as in records; JSON columns stay complete."""
    if value is None or kind.id not in _NESTED:
        return value
    if kind.id == "struct":
        fields = ((name, _without_nulls(value.get(name), part)) for name, part in kind.children)
        return {name: part for name, part in fields if part is not None}
    if kind.id in ("list", "array"):
        return [_without_nulls(item, kind.children[0][1]) for item in value]
    if kind.id == "map":
        return {key: _without_nulls(item, kind.children[1][1]) for key, item in value.items()}
    return value
