"""SQL over files: one view for each kind of row, everything else locked; the home of DuckDB."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from seqit.scores.db.columns import KINDS, columns, kind_of, literal, quoted
from seqit.scores.db.errors import explain
from seqit.scores.db.read_only import check_query
from seqit.scores.db.result import Result
from seqit.scores.db.staging import Staged, stage
from seqit.scores.db.views import NAMES, macros, views
from seqit.stores.sources import check_sources

_RESULT = "result.parquet"
_BATCH = 1024
_TRAINING = {"recipe", "base", "data", "steps"}
"""Keys that tell a training.json from other files."""


class Database:
    """Views over the given files, and nothing else within a query's reach.

    Rows of one kind are united in one view (records, rejects, manifests, responses, scores) whose
    column `file` tells their file; a file of other rows is a view under its own name, with
    inferred types. Scores bring the views of seqit.scores.db.views.
    A context manager: the temporary folder is gone when it ends. Raises SeqitError for files that
    cannot be read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="seqit-sql-")
        self._error = duckdb.Error
        self._files: list[Staged] = []
        self._views: dict[str, list[str]] = {}
        try:
            folder = Path(self._folder.name)
            self._connection = connect(duckdb, folder)
            for number, name in enumerate(check_sources(tuple(names))):
                self._files.append(stage(name, folder, number))
            self._create_views()
            lock(self._connection, [*(f.path for f in self._files), folder / _RESULT])
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._folder.cleanup()

    def views(self) -> Mapping[str, dict[str, str]]:
        """Return each view with its columns and their types."""
        return {view: self._describe(f"FROM {quoted(view)}") for view in self._views}

    def query(self, text: str) -> Result:
        """Run one reading query; its rows are fetched as the result is iterated.

        Raises SeqitError for what is not SQL, for what does more than read, and, also later, for
        rows that cannot be read.
        """
        tree = self._execute("SELECT json_serialize_sql(?)", [text]).fetchone()
        check_query(tree[0])
        # The query is a subquery from here on, where SQL knows no statement that writes.
        table = f"(\n{text.strip().rstrip('; ')}\n)"
        described = self._describe(f"FROM {table}")
        return Result(described, table, self._rows, self._parquet)

    def fetch(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement of seqit's own, which may make temporary tables, and return its rows."""
        found: list[tuple[Any, ...]] = self._execute(text, values).fetchall()
        return found

    def _describe(self, query: str) -> dict[str, Any]:
        try:
            relation = self._connection.sql(f"{query} LIMIT 0")
            return dict(zip(relation.columns, relation.types, strict=True))
        except self._error as error:
            raise explain(error, self._files, self._views) from None

    def _execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._connection.execute(text, list(values))
        except self._error as error:
            raise explain(error, self._files, self._views) from None

    def _rows(self, text: str) -> Iterator[tuple[Any, ...]]:
        cursor = self._execute(text)
        try:
            while batch := cursor.fetchmany(_BATCH):
                yield from batch
        except self._error as error:
            raise explain(error, self._files, self._views) from None

    def _parquet(self, table: str) -> Iterator[bytes]:
        path = Path(self._folder.name) / _RESULT
        options = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
        self._execute(f"COPY (FROM {table}) TO {literal(str(path))} ({options})")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk
        path.unlink()

    def _create_views(self) -> None:
        parts: dict[str, list[str]] = {}
        has_empty = False
        for file in self._files:
            keys = self._first_keys(file)
            if keys is None:
                has_empty = True
            elif view := kind_of(keys):
                parts.setdefault(view, []).append(_select(file, view, keys))
            elif not file.is_parquet and set(keys) >= _TRAINING:
                parts.setdefault("trainings", []).append(_training(file))
            else:
                name = _free_name(file.stem, {*KINDS, *NAMES, "trainings", *parts})
                parts[name] = [f"FROM {_reader(file)}"]
        if has_empty:  # no rows of any kind: a query for them finds none, instead of no view
            for view in KINDS:
                parts.setdefault(view, [_nothing(view)])
        queries = {view: " UNION ALL ".join(selects) for view, selects in parts.items()}
        if made := views(queries):
            for macro in macros():
                self._execute(macro)
        for view, query in (queries | made).items():
            self._execute(f"CREATE VIEW {quoted(view)} AS {query}")
            self._views[view] = list(self._describe(f"FROM {quoted(view)}"))

    def _first_keys(self, file: Staged) -> list[str] | None:
        """Return the columns of the first row, by which its kind is told; None without rows."""
        if file.is_parquet:
            return list(self._describe(f"FROM {_reader(file)}"))
        reader = f"read_json_objects({literal(str(file.path))}, format = 'auto')"
        row = self._execute(f"SELECT json FROM {reader} LIMIT 1").fetchone()
        if row is None:
            return None
        value = orjson.loads(row[0])
        return list(value) if isinstance(value, dict) else []


def connect(duckdb: Any, folder: Path) -> Any:
    """Return a connection that spills into the folder and loads nothing by itself."""
    return duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            # Otherwise a query could read the variables of this program.
            "python_enable_replacements": False,
        },
    )


def lock(connection: Any, paths: Sequence[Path]) -> None:
    """Put every file but these, and every setting, out of a query's reach."""
    allowed = ", ".join(literal(str(path)) for path in paths)
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _reader(file: Staged, types: Mapping[str, str] | None = None) -> str:
    path = literal(str(file.path))
    if file.is_parquet:
        return f"read_parquet({path})"
    if types is None:
        return f"read_json({path}, format = 'auto', sample_size = -1)"
    listing = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in types.items())
    return f"read_json({path}, format = 'auto', columns = {{{listing}}})"


def _select(file: Staged, view: str, keys: Sequence[str]) -> str:
    """Return a query for the file's rows with exactly the view's columns and types."""
    types = columns(view)
    if file.is_parquet:
        listing = ", ".join(
            f"CAST({quoted(name) if name in keys else 'NULL'} AS {kind}) AS {quoted(name)}"
            for name, kind in types.items()
        )
    else:
        listing = ", ".join(map(quoted, types))
    return f"SELECT {listing}, {literal(file.name)} AS file FROM {_reader(file, types)}"


def _training(file: Staged) -> str:
    """Return a query for a training.json, under its path and its hash: scores name either."""
    path = literal(str(file.path))
    digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
    reader = f"read_json_objects({path}, format = 'auto')"
    return (
        f"SELECT {literal(file.name)} AS file, '{digest}' AS sha256, json AS training FROM {reader}"
    )


def _nothing(view: str) -> str:
    types = {**columns(view), "file": "VARCHAR"}
    listing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(n)}" for n, kind in types.items())
    return f"SELECT {listing} WHERE false"


def _free_name(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
