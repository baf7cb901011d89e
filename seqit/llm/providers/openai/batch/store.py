"""Stores which request is in which batch of the provider, in the completion cache's file.

A batch is stored before it is submitted, so that a run killed in between finds it again. A request
is removed once its completion is cached.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from seqit.llm.cache.store import open_file, transaction, translate_errors

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, base_url TEXT NOT NULL, "
    "model TEXT NOT NULL, token TEXT NOT NULL, posted REAL, file TEXT, id TEXT, "
    "refused INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS batch_requests (key BLOB PRIMARY KEY, number INTEGER NOT NULL, "
    "line INTEGER NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID",
)
"""batches.refused: the number of requests of a batch that was too large; it has none any more."""

_DELETE_CACHED = "DELETE FROM batch_requests WHERE key IN (SELECT key FROM completions)"
"""Removes what is left by a run that was killed just after it cached completions."""

_BATCH = "SELECT number, token, posted, file, id FROM batches WHERE "


class Batch(NamedTuple):
    """One batch: `token` is in its metadata at the provider, `id` is the provider's."""

    number: int
    token: str
    submitted_at: float | None  # Unix time of the last submission; None: not submitted
    file: str | None  # the provider's id of the file with its requests
    id: str | None  # None: unknown


class BatchPosition(NamedTuple):
    """The batch of a request, its line there (from 1), and how often it was submitted."""

    number: int
    line: int
    tries: int


class BatchStore:
    """The batches of one model at one provider; raises SeqitError if the file cannot be used."""

    def __init__(self, path: Path, base_url: str, model: str) -> None:
        self._path = path
        self._scope = (base_url, model)
        self._db = open_file(path)
        with translate_errors(path):
            self._db.execute("PRAGMA synchronous = FULL")  # survives a power failure
            for statement in (*_SCHEMA, _DELETE_CACHED):
                self._db.execute(statement)

    def position(self, key: bytes) -> BatchPosition | None:
        """Return the position of a request; None if it is not submitted."""
        query = "SELECT number, line, tries FROM batch_requests WHERE key = ?"
        with translate_errors(self._path):
            row = self._db.execute(query, (key,)).fetchone()
        return BatchPosition(*row) if row else None

    def is_cached(self, key: bytes) -> bool:
        """Return whether the cache has a request's completion."""
        query = "SELECT 1 FROM completions WHERE key = ?"
        with translate_errors(self._path):
            return self._db.execute(query, (key,)).fetchone() is not None

    def batch(self, number: int) -> Batch:
        """Return a batch by its number."""
        with translate_errors(self._path):
            return Batch(*self._db.execute(f"{_BATCH} number = ?", (number,)).fetchone())

    def without_id(self) -> list[Batch]:
        """Return the batches that a run planned, but whose id it did not receive."""
        query = f"{_BATCH} id IS NULL AND base_url = ? AND model = ?"
        with translate_errors(self._path):
            return [Batch(*row) for row in self._db.execute(query, self._scope)]

    def plan(self, requests: Iterable[tuple[bytes, int]]) -> Batch:
        """Store a batch that is about to be submitted, with a line for each (key, tries)."""
        token = uuid4().hex
        with translate_errors(self._path), transaction(self._db):
            add = "INSERT INTO batches (base_url, model, token) VALUES (?, ?, ?)"
            number = self._db.execute(add, (*self._scope, token)).lastrowid or 0
            self._db.executemany(
                "INSERT OR REPLACE INTO batch_requests VALUES (?, ?, ?, ?)",
                ((key, number, line, tries) for line, (key, tries) in enumerate(requests, 1)),
            )
        return Batch(number, token, None, None, None)

    def record_submission(self, number: int, file: str) -> Batch:
        """Store that a batch is being submitted now, with a file that was uploaded before."""
        update = "UPDATE batches SET posted = ?, file = ? WHERE number = ?"
        with translate_errors(self._path):
            self._db.execute(update, (time.time(), file, number))
        return self.batch(number)

    def record_id(self, number: int, batch_id: str) -> None:
        """Store the provider's id of a batch."""
        with translate_errors(self._path):
            self._db.execute("UPDATE batches SET id = ? WHERE number = ?", (batch_id, number))

    def drop(self, number: int) -> None:
        """Remove a batch and its requests, which were not processed."""
        with translate_errors(self._path), transaction(self._db):
            self._db.execute("DELETE FROM batch_requests WHERE number = ?", (number,))
            self._db.execute("DELETE FROM batches WHERE number = ?", (number,))

    def refuse(self, number: int, requests: int) -> None:
        """Remove a batch's requests, but store that their number was too large for one batch."""
        with translate_errors(self._path), transaction(self._db):
            self._db.execute("DELETE FROM batch_requests WHERE number = ?", (number,))
            self._db.execute("UPDATE batches SET refused = ? WHERE number = ?", (requests, number))

    def smallest_refused(self) -> int | None:
        """Return the smallest number of requests that was too large for one batch, if any."""
        query = "SELECT min(refused) FROM batches WHERE refused AND base_url = ? AND model = ?"
        with translate_errors(self._path):
            smallest: int | None = self._db.execute(query, self._scope).fetchone()[0]
        return smallest

    def forget_cached(self, keys: Iterable[bytes]) -> None:
        """Remove those of the requests whose completion is cached."""
        self._forget("key = ? AND key IN (SELECT key FROM completions)", keys)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Remove requests, so that they are submitted again when they are made again."""
        self._forget("key = ?", keys)

    def _forget(self, condition: str, keys: Iterable[bytes]) -> None:
        with translate_errors(self._path), transaction(self._db):
            delete = f"DELETE FROM batch_requests WHERE {condition}"
            self._db.executemany(delete, ((key,) for key in keys))

    def forget_refusals(self) -> None:
        """Remove the stored sizes of batches that were too large."""
        delete = "DELETE FROM batches WHERE refused AND base_url = ? AND model = ?"
        with translate_errors(self._path):
            self._db.execute(delete, self._scope)

    def close(self) -> None:
        """Remove the batches without requests, and close the file."""
        empty = "number NOT IN (SELECT number FROM batch_requests)"
        try:
            with translate_errors(self._path):
                self._db.execute(f"DELETE FROM batches WHERE NOT refused AND {empty}")
        finally:
            self._db.close()
