"""SQL over files: a DuckDB database with one view for each kind of row and nothing else."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from seqit.scores.db.columns import VIEW_SCHEMAS, columns, literal, quoted, view_for
from seqit.scores.db.errors import readable_error
from seqit.scores.db.read_only import check_query
from seqit.scores.db.result import QueryResult
from seqit.scores.db.staging import StagedFile, stage_file
from seqit.scores.db.views import DERIVED_VIEWS, derived_views, macros
from seqit.stores.sources import check_sources

_RESULT = "result.parquet"
_BATCH_SIZE = 1024
_TRAINING_KEYS = {"recipe", "base", "data", "steps"}
"""Keys by which a training.json is recognised."""


class Database:
    """Views over the given files; a query can read nothing else.

    Rows of one kind are united in one view (records, rejects, manifests, responses, scores) with a
    column `file`; a file of other rows is a view under its own name, with inferred types. Scores
    add the views of seqit.scores.db.views. A context manager: the temporary folder is removed when
    it exits. Raises SeqitError if a file cannot be read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="seqit-sql-")
        self._error = duckdb.Error
        self._files: list[StagedFile] = []
        self._views: dict[str, list[str]] = {}
        try:
            folder = Path(self._folder.name)
            self._connection = connect(duckdb, folder)
            for number, name in enumerate(check_sources(tuple(names))):
                self._files.append(stage_file(name, folder, number))
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

    def query(self, text: str) -> QueryResult:
        """Run one reading query; its rows are fetched as the result is iterated.

        Raises SeqitError if the text is not SQL or does more than read, and, possibly only during
        iteration, if rows cannot be read.
        """
        tree = self._execute("SELECT json_serialize_sql(?)", [text]).fetchone()
        check_query(tree[0])
        # From here on the query is used as a subquery, which in SQL cannot be a writing statement.
        table = f"(\n{text.strip().rstrip('; ')}\n)"
        types = self._describe(f"FROM {table}")
        return QueryResult(types, table, self._rows, self._parquet)

    def fetch(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run an internal statement, which may create temporary tables, and return its rows."""
        rows: list[tuple[Any, ...]] = self._execute(text, values).fetchall()
        return rows

    def _describe(self, query: str) -> dict[str, Any]:
        try:
            relation = self._connection.sql(f"{query} LIMIT 0")
            return dict(zip(relation.columns, relation.types, strict=True))
        except self._error as error:
            raise readable_error(error, self._files, self._views) from None

    def _execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._connection.execute(text, list(values))
        except self._error as error:
            raise readable_error(error, self._files, self._views) from None

    def _rows(self, text: str) -> Iterator[tuple[Any, ...]]:
        cursor = self._execute(text)
        try:
            while batch := cursor.fetchmany(_BATCH_SIZE):
                yield from batch
        except self._error as error:
            raise readable_error(error, self._files, self._views) from None

    def _parquet(self, table: str) -> Iterator[bytes]:
        path = Path(self._folder.name) / _RESULT
        options = "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false"
        self._execute(f"COPY (FROM {table}) TO {literal(str(path))} ({options})")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk
        path.unlink()

    def _create_views(self) -> None:
        selects: dict[str, list[str]] = {}
        has_empty = False
        for file in self._files:
            keys = self._first_keys(file)
            if keys is None:
                has_empty = True
            elif view := view_for(keys):
                selects.setdefault(view, []).append(_select(file, view, keys))
            elif not file.is_parquet and set(keys) >= _TRAINING_KEYS:
                selects.setdefault("trainings", []).append(_select_training(file))
            else:
                taken = {*VIEW_SCHEMAS, *DERIVED_VIEWS, "trainings", *selects}
                selects[_unused_name(file.stem, taken)] = [f"FROM {_reader(file)}"]
        if has_empty:  # an empty file has no rows of any kind: each view exists, without rows
            for view in VIEW_SCHEMAS:
                selects.setdefault(view, [_select_nothing(view)])
        queries = {view: " UNION ALL ".join(parts) for view, parts in selects.items()}
        if derived := derived_views(queries):
            for macro in macros():
                self._execute(macro)
        for view, query in (queries | derived).items():
            self._execute(f"CREATE VIEW {quoted(view)} AS {query}")
            self._views[view] = list(self._describe(f"FROM {quoted(view)}"))

    def _first_keys(self, file: StagedFile) -> list[str] | None:
        """Return the keys of the first row, which decide its kind; None without rows."""
        if file.is_parquet:
            return list(self._describe(f"FROM {_reader(file)}"))
        reader = f"read_json_objects({literal(str(file.path))}, format = 'auto')"
        row = self._execute(f"SELECT json FROM {reader} LIMIT 1").fetchone()
        if row is None:
            return None
        value = orjson.loads(row[0])
        return list(value) if isinstance(value, dict) else []


def connect(duckdb: Any, folder: Path) -> Any:
    """Return a connection that spills into the folder and loads no extensions by itself."""
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
    """Deny queries access to all files but these, and to all settings."""
    allowed = ", ".join(literal(str(path)) for path in paths)
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _reader(file: StagedFile, types: Mapping[str, str] | None = None) -> str:
    path = literal(str(file.path))
    if file.is_parquet:
        return f"read_parquet({path})"
    if types is None:
        return f"read_json({path}, format = 'auto', sample_size = -1)"
    listing = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in types.items())
    return f"read_json({path}, format = 'auto', columns = {{{listing}}})"


def _select(file: StagedFile, view: str, keys: Sequence[str]) -> str:
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


def _select_training(file: StagedFile) -> str:
    """Return a query for a training.json with its path and its hash: scores refer to either."""
    path = literal(str(file.path))
    digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
    reader = f"read_json_objects({path}, format = 'auto')"
    return (
        f"SELECT {literal(file.name)} AS file, '{digest}' AS sha256, json AS training FROM {reader}"
    )


def _select_nothing(view: str) -> str:
    types = {**columns(view), "file": "VARCHAR"}
    listing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(n)}" for n, kind in types.items())
    return f"SELECT {listing} WHERE false"


def _unused_name(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
