"""Scores as a filter: an SQL expression over the scores of one record, answered by its id."""

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
from seqit.scores.db.errors import explain
from seqit.scores.db.read_only import check_expression
from seqit.scores.db.staging import Staged, stage

FilterAnswer = tuple[bool | None, dict[str, Any]]
"""What the expression says of a record (None: it is NULL), and the scores that it looked at."""

MEMORY = "512MB"
_BATCH = 4096
_NAMES = ("metric", "name")  # the column of a long row that names its score


class ScoreFilter:
    """Answers, by record id, whether an expression over score files holds.

    A score file, JSON Lines or Parquet, has rows of one score, ``{"id", "metric", "value"}``
    (or ``name``), or of several, ``{"id", "quality": 4, …}``. Numbers, true and false are numbers
    to the expression, which sees each score as a column; other values are text. DuckDB joins and
    evaluates, spilling beyond MEMORY; the answers lie in one SQLite file, so that memory holds
    neither, and a process that is forked from this one reads them too. A context manager: the
    files are gone when it ends. Raises UsageError for an expression that is none, or names scores
    that there are not, and SeqitError for files that cannot be read.
    """

    def __init__(self, expression: str, names: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="seqit-scores-")
        self._reader: sqlite3.Connection | None = None
        self._process = 0
        try:
            self._path = Path(self._folder.name) / "answers.sqlite"
            with _Join(expression, names, Path(self._folder.name)) as join:
                self._write(join)
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
        """Return the answer for a record; None where no score has its id."""
        if self._reader is None or self._process != os.getpid():
            # A connection must not be used by two processes.
            self._reader = sqlite3.connect(f"file:{self._path}?mode=ro&immutable=1", uri=True)
            self._process = os.getpid()
        query = "SELECT verdict, scores FROM answers WHERE id = ?"
        found = self._reader.execute(query, (record_id,)).fetchone()
        if found is None:
            return None
        verdict, scores = found
        return None if verdict is None else bool(verdict), orjson.loads(scores)

    def _write(self, join: "_Join") -> None:
        answers = sqlite3.connect(self._path, isolation_level=None)
        try:
            answers.execute("PRAGMA journal_mode = OFF")
            answers.execute("PRAGMA synchronous = OFF")  # after a crash nobody asks for it
            answers.execute("BEGIN")
            answers.execute(
                "CREATE TABLE answers (id TEXT PRIMARY KEY, verdict INTEGER, scores BLOB)"
                " WITHOUT ROWID"
            )
            answers.executemany("INSERT INTO answers VALUES (?, ?, ?)", join.answers())
            answers.execute("COMMIT")
        finally:
            answers.close()


class _Join:
    """The scores in DuckDB, one row an id, and the expression over them."""

    def __init__(self, expression: str, names: Sequence[str], folder: Path) -> None:
        import duckdb

        self._error = duckdb.Error
        self._expression = expression
        self._files: list[Staged] = []
        self._database = connect(duckdb, folder)
        try:
            self._execute(f"SET memory_limit = '{MEMORY}'")
            self._execute("CREATE TABLE long (id VARCHAR, metric VARCHAR, value JSON)")
            for number, name in enumerate(names):
                file = stage(name, folder, number)
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
        """Yield each id with its verdict and its scores as JSON, in the order of the ids."""
        lock(self._database, [])
        verdict = f"CAST((\n{self._expression}\n) AS BOOLEAN)"
        columns = ", ".join(["id", verdict, *map(quoted, self._metrics)])
        cursor = self._execute(f"SELECT {columns} FROM scores ORDER BY id")
        try:
            while batch := cursor.fetchmany(_BATCH):
                for record_id, verdict, *values in batch:
                    scores = dict(zip(self._metrics, map(_whole, values), strict=True))
                    yield record_id, verdict, orjson.dumps(scores)
        except self._error as error:
            raise self._explained(error) from None

    def _execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        try:
            return self._database.execute(text, list(values))
        except self._error as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> SeqitError:
        views = {"scores": getattr(self, "_metrics", [])}
        return explain(error, self._files, views)

    def _add(self, file: Staged) -> None:
        """Add the rows of one file to the long table, whatever their shape."""
        path = literal(str(file.path))
        if file.is_parquet:
            rows = f"(SELECT to_json(t) AS json FROM read_parquet({path}) t)"
        else:
            rows = f"read_json_objects({path}, format = 'auto')"
        first = self._execute(f"SELECT json_keys(json) FROM {rows} LIMIT 1").fetchone()
        keys = first[0] if first else []
        if first and "id" not in keys:
            raise SeqitError(
                f"{file.name}: a row of scores has the id of its record; the first has "
                f"{', '.join(keys) or 'no fields'}"
            )
        name = next((each for each in _NAMES if each in keys), None)
        if name and "value" in keys:
            select = f"json->>'$.id', json->>'$.{name}', json->'$.value' FROM {rows}"
        else:
            each = "unnest(map_entries(json_transform(json, '\"MAP(VARCHAR, JSON)\"')))"
            pairs = f"(SELECT json->>'$.id' AS id, {each} AS pair FROM {rows})"
            select = f"id, pair.key, pair.value FROM {pairs} WHERE pair.key <> 'id'"
        self._execute(f"INSERT INTO long SELECT {select}")
        missing = self._execute(
            "SELECT count(*) FROM long WHERE id IS NULL OR metric IS NULL"
        ).fetchone()
        if missing[0]:
            raise SeqitError(f"{file.name}: {missing[0]:,} scores lack their id or their name")

    def _pivot(self) -> list[str]:
        """Make the table of one row an id with the scores that are asked for; return their names.

        Raises SeqitError where a record has two values of one of them.
        """
        tree = self._execute(
            "SELECT json_serialize_sql(?)", [f"SELECT (\n{self._expression}\n) FROM scores"]
        ).fetchone()
        asked = check_expression(tree[0])
        kinds = dict(
            self._execute(
                "SELECT metric, bool_and(coalesce(json_type(value) IN ('BIGINT', 'UBIGINT', "
                "'HUGEINT', 'DOUBLE', 'BOOLEAN', 'NULL'), true)) FROM long GROUP BY metric"
            ).fetchall()
        )
        metrics = sorted({_known(name, list(kinds)) for name in asked if name.lower() != "id"})
        columns = ["id"]
        for name in metrics:
            value = "CASE value->>'$' WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE"
            value = f"{value} CAST(value->>'$' AS DOUBLE) END" if kinds[name] else "value->>'$'"
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
            if twice := self._execute(query).fetchone():
                record_id, one, other = twice[0], *map(_whole, twice[1:])
                raise SeqitError(
                    f"record {record_id} has two values of {name}: {one} and {other}; "
                    "give the scores of one run, or average them with seqit sql"
                )
        return metrics


def _known(name: str, metrics: list[str]) -> str:
    """Return the score that a column of the expression means; SQL looks at no case."""
    found = [metric for metric in metrics if metric.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"the scores {' and '.join(found)} differ by case alone; rename one")
    there = f"the files hold {', '.join(sorted(metrics))}" if metrics else "the files hold none"
    raise UsageError(f"--keep: there is no score {name!r}{did_you_mean(name, metrics)}; {there}")


def _whole(value: Any) -> Any:
    """Return a number as people write it: 4, not 4.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
