"""Filtering by scores: an SQL expression over the scores of each record, looked up by its id."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from seqit.errors import SeqitError, UsageError
from seqit.records.validation import did_you_mean
from seqit.scores.db.columns import literal, quoted
from seqit.scores.db.database import connect, lock
from seqit.scores.db.errors import readable_error
from seqit.scores.db.read_only import check_expression
from seqit.scores.db.staging import StagedFile, stage_file

FilterAnswer = tuple[bool | None, dict[str, Any]]
"""The value of the expression for a record (None: NULL), and the scores that it uses."""

MEMORY_LIMIT = "512MB"
_BATCH_SIZE = 4096
_METRIC_COLUMNS = ("metric", "name")  # either names the score of a row in long format


class ScoreFilter:
    """Evaluates an expression over score files and returns its value by record id.

    A score file, JSON Lines or Parquet, has rows of one score, ``{"id", "metric", "value"}``
    (or ``name``), or of several, ``{"id", "quality": 4, …}``. The expression has each score as a
    column: numbers, true and false as numbers, other values as text. DuckDB joins and evaluates,
    spilling beyond MEMORY_LIMIT; the answers are in one SQLite file, so that neither is kept in
    memory, and processes forked from this one can read them too. A context manager: the files are
    removed when it exits. Raises UsageError if the expression is not valid or names a score that
    does not exist, and SeqitError if a file cannot be read.
    """

    def __init__(self, expression: str, names: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="seqit-scores-")
        self._reader: sqlite3.Connection | None = None
        self._process = 0
        try:
            self._path = Path(self._folder.name) / "answers.sqlite"
            with _ScoreTable(expression, names, Path(self._folder.name)) as table:
                self._write(table)
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
        if self._reader:
            self._reader.close()
        self._folder.cleanup()

    def find(self, record_id: str) -> FilterAnswer | None:
        """Return the answer for a record; None if no score has its id."""
        if self._reader is None or self._process != os.getpid():
            # A connection must not be used by two processes.
            self._reader = sqlite3.connect(f"file:{self._path}?mode=ro&immutable=1", uri=True)
            self._process = os.getpid()
        query = "SELECT passes, scores FROM answers WHERE id = ?"
        row = self._reader.execute(query, (record_id,)).fetchone()
        if row is None:
            return None
        passes, scores = row
        return None if passes is None else bool(passes), orjson.loads(scores)

    def _write(self, table: "_ScoreTable") -> None:
        answers = sqlite3.connect(self._path, isolation_level=None)
        try:
            answers.execute("PRAGMA journal_mode = OFF")
            answers.execute("PRAGMA synchronous = OFF")  # the file is not used after a crash
            answers.execute("BEGIN")
            answers.execute(
                "CREATE TABLE answers (id TEXT PRIMARY KEY, passes INTEGER, scores BLOB)"
                " WITHOUT ROWID"
            )
            answers.executemany("INSERT INTO answers VALUES (?, ?, ?)", table.answers())
            answers.execute("COMMIT")
        finally:
            answers.close()


class _ScoreTable:
    """The scores in DuckDB, one row per id, and the expression over them."""

    def __init__(self, expression: str, names: Sequence[str], folder: Path) -> None:
        import duckdb

        self._error = duckdb.Error
        self._expression = expression
        self._files: list[StagedFile] = []
        self._database = connect(duckdb, folder)
        try:
            self._execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            self._execute("CREATE TABLE long (id VARCHAR, metric VARCHAR, value JSON)")
            for number, name in enumerate(names):
                file = stage_file(name, folder, number)
                self._files.append(file)
                self._add(file)
            self._metrics = self._pivot()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def answers(self) -> Iterator[tuple[str, bool | None, bytes]]:
        """Yield id, value of the expression and scores as JSON, in the order of the ids."""
        lock(self._database, [])
        expression = f"CAST((\n{self._expression}\n) AS BOOLEAN)"
        columns = ", ".join(["id", expression, *map(quoted, self._metrics)])
        cursor = self._execute(f"SELECT {columns} FROM scores ORDER BY id")
        try:
            while batch := cursor.fetchmany(_BATCH_SIZE):
                for record_id, passes, *values in batch:
                    scores = dict(zip(self._metrics, map(_integral, values), strict=True))
                    yield record_id, passes, orjson.dumps(scores)
        except self._error as error:
            raise self._readable(error) from None

    def _execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._database.execute(text, list(values))
        except self._error as error:
            raise self._readable(error) from None

    def _readable(self, error: Exception) -> SeqitError:
        views = {"scores": getattr(self, "_metrics", [])}
        return readable_error(error, self._files, views)

    def _add(self, file: StagedFile) -> None:
        """Add the rows of one file, in long or wide format, to the long table."""
        path = literal(str(file.path))
        if file.is_parquet:
            rows = f"(SELECT to_json(t) AS json FROM read_parquet({path}) t)"
        else:
            rows = f"read_json_objects({path}, format = 'auto')"
        first = self._execute(f"SELECT json_keys(json) FROM {rows} LIMIT 1").fetchone()
        keys = first[0] if first else []
        if first and "id" not in keys:
            raise SeqitError(
                f"{file.name}: a row of scores needs the id of its record; the first row has "
                f"{', '.join(keys) or 'no fields'}"
            )
        name = next((column for column in _METRIC_COLUMNS if column in keys), None)
        if name and "value" in keys:
            select = f"json->>'$.id', json->>'$.{name}', json->'$.value' FROM {rows}"
        else:
            entries = "unnest(map_entries(json_transform(json, '\"MAP(VARCHAR, JSON)\"')))"
            pairs = f"(SELECT json->>'$.id' AS id, {entries} AS pair FROM {rows})"
            select = f"id, pair.key, pair.value FROM {pairs} WHERE pair.key <> 'id'"
        self._execute(f"INSERT INTO long SELECT {select}")
        missing = self._execute(
            "SELECT count(*) FROM long WHERE id IS NULL OR metric IS NULL"
        ).fetchone()
        if missing[0]:
            raise SeqitError(f"{file.name}: {missing[0]:,} scores lack their id or their name")

    def _pivot(self) -> list[str]:
        """Create the table of one row per id with the scores that are used; return their names.

        Raises SeqitError if a record has two values of one of them.
        """
        tree = self._execute(
            "SELECT json_serialize_sql(?)", [f"SELECT (\n{self._expression}\n) FROM scores"]
        ).fetchone()
        used = check_expression(tree[0])
        are_numbers = dict(
            self._execute(
                "SELECT metric, bool_and(coalesce(json_type(value) IN ('BIGINT', 'UBIGINT', "
                "'HUGEINT', 'DOUBLE', 'BOOLEAN', 'NULL'), true)) FROM long GROUP BY metric"
            ).fetchall()
        )
        known = list(are_numbers)
        metrics = sorted({_match_metric(name, known) for name in used if name.lower() != "id"})
        columns = ["id"]
        for name in metrics:
            value = "value->>'$'"
            if are_numbers[name]:
                value = "CASE value->>'$' WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE"
                value = f"{value} CAST(value->>'$' AS DOUBLE) END"
            of_name = f"FILTER (metric = {literal(name)})"
            columns.append(f"min({value}) {of_name} AS {quoted(name)}")
            columns.append(f"max({value}) {of_name} AS {quoted(f'{name} max')}")
        self._execute(f"CREATE TABLE scores AS SELECT {', '.join(columns)} FROM long GROUP BY id")
        self._execute("DROP TABLE long")
        for name in metrics:
            low, high = quoted(name), quoted(f"{name} max")
            query = (
                f"SELECT id, {low}, {high} FROM scores WHERE {low} <> {high} ORDER BY id LIMIT 1"
            )
            if conflict := self._execute(query).fetchone():
                record_id, one, other = conflict[0], *map(_integral, conflict[1:])
                raise SeqitError(
                    f"record {record_id} has two values of {name}: {one} and {other}; "
                    "give the scores of one run, or average them with seqit sql"
                )
        return metrics


def _match_metric(name: str, metrics: list[str]) -> str:
    """Return the score that a column of the expression means; SQL ignores case."""
    found = [metric for metric in metrics if metric.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"the scores {' and '.join(found)} differ only in case; rename one")
    available = ", ".join(sorted(metrics)) if metrics else "none"
    raise UsageError(
        f"--keep: there is no score {name!r}{did_you_mean(name, metrics)}; "
        f"the files contain {available}"
    )


def _integral(value: Any) -> Any:
    """Return a float with an integral value as an int, as people write it: 4, not 4.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
