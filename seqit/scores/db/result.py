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

Cells = tuple[str | None, ...]


class Result:
    """A query that is yet to run: each iteration runs it, and holds one batch of rows."""

    def __init__(
        self,
        types: dict[str, Any],
        table: str,
        run: Callable[[str], Iterator[Cells]],
        parquet: Callable[[str], Iterator[bytes]],
    ) -> None:
        self.columns = list(types)
        self._types = list(types.values())
        self._table = table
        self._run = run
        self._parquet = parquet

    @property
    def are_numbers(self) -> list[bool]:
        """Which columns hold numbers: tables align them to the right."""
        return [kind.id in _NUMBERS for kind in self._types]

    def texts(self) -> Iterator[Cells]:
        """Yield rows of text: as DuckDB writes each type, nested values as JSON."""
        yield from self._rows(_as_text)

    def jsons(self) -> Iterator[Cells]:
        """Yield rows of JSON texts; NaN and infinities, which JSON has not, as null."""
        yield from self._rows(_as_json)

    def parquet(self) -> Iterator[bytes]:
        """Yield the bytes of a Parquet file with the columns' own types (JSON as JSON text)."""
        return self._parquet(self._table)

    def _rows(self, expression: Callable[[str, Any], str]) -> Iterator[Cells]:
        names = [f"c{i}" for i in range(len(self._types))]
        listing = ", ".join(map(expression, names, self._types))
        query = f"SELECT {listing} FROM {self._table} AS result({', '.join(names)})"
        nested = [i for i, kind in enumerate(self._types) if kind.id in _NESTED]
        for row in self._run(query):
            if not nested:
                yield row
                continue
            cells = list(row)
            for i in nested:
                if (text := cells[i]) is not None:
                    cells[i] = orjson.dumps(_present(_loads(text), self._types[i])).decode()
            yield tuple(cells)


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
        return json.loads(text)  # DuckDB writes a nested NaN, which only this reader takes


def _present(value: Any, kind: Any) -> Any:
    """Leave out the fields of a struct that are NULL, as records do; JSON columns stay whole."""
    if value is None or kind.id not in _NESTED:
        return value
    if kind.id == "struct":
        fields = ((name, _present(value.get(name), part)) for name, part in kind.children)
        return {name: part for name, part in fields if part is not None}
    if kind.id in ("list", "array"):
        return [_present(item, kind.children[0][1]) for item in value]
    if kind.id == "map":
        return {key: _present(item, kind.children[1][1]) for key, item in value.items()}
    return value
