"""Which request lies in which batch of the provider, kept in the file of the completion cache.

What is to be submitted is written down before it is sent, so that a run killed in between finds
its batch again. A request is forgotten once its answer is kept elsewhere.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from seqit.llm.cache.store import open_file, transaction, trouble

_TABLES = (
    "CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, base_url TEXT NOT NULL, "
    "model TEXT NOT NULL, token TEXT NOT NULL, posted REAL, file TEXT, id TEXT, "
    "refused INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS batch_requests (key BLOB PRIMARY KEY, number INTEGER NOT NULL, "
    "line INTEGER NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID",
)
"""batches.refused: how many requests were too many; they lie in that batch no more."""

_KEPT = "DELETE FROM batch_requests WHERE key IN (SELECT key FROM completions)"
"""What a run killed just after its completions were kept has left."""

_BATCH = "SELECT number, token, posted, file, id FROM batches WHERE "


class Batch(NamedTuple):
    """One batch: `token` is in its metadata at the provider, `id` what the provider calls it."""

    number: int
    token: str
    posted: float | None  # Unix time at which it was last sent off; None: never
    file: str | None  # the provider's id of the file with its requests
    id: str | None  # None: not known


class BatchPosition(NamedTuple):
    """Where a request lies: its batch, its line there (from 1), and how often it was submitted."""

    number: int
    line: int
    tries: int


class BatchStore:
    """The batches of one model at one provider; raises SeqitError for a file it cannot use."""

    def __init__(self, path: Path, base_url: str, model: str) -> None:
        self._path = path
        self._scope = (base_url, model)
        self._db = open_file(path)
        with trouble(path):
            self._db.execute("PRAGMA synchronous = FULL")  # what is submitted outlives a power cut
            for statement in (*_TABLES, _KEPT):
                self._db.execute(statement)

    def place(self, key: bytes) -> BatchPosition | None:
        """Return where a request lies; None where it is not submitted."""
        query = "SELECT number, line, tries FROM batch_requests WHERE key = ?"
        with trouble(self._path):
            row = self._db.execute(query, (key,)).fetchone()
        return BatchPosition(*row) if row else None

    def is_kept(self, key: bytes) -> bool:
        """Say whether the cache has a request's completion."""
        query = "SELECT 1 FROM completions WHERE key = ?"
        with trouble(self._path):
            return self._db.execute(query, (key,)).fetchone() is not None

    def batch(self, number: int) -> Batch:
        """Return a batch by its number."""
        with trouble(self._path):
            return Batch(*self._db.execute(f"{_BATCH} number = ?", (number,)).fetchone())

    def unfinished(self) -> list[Batch]:
        """Return the batches that a run meant to submit, and whose id it did not learn."""
        query = f"{_BATCH} id IS NULL AND base_url = ? AND model = ?"
        with trouble(self._path):
            return [Batch(*row) for row in self._db.execute(query, self._scope)]

    def plan(self, requests: Iterable[tuple[bytes, int]]) -> Batch:
        """Write down that these (key, tries) are about to be submitted, a line each."""
        token = uuid4().hex
        with trouble(self._path), transaction(self._db):
            add = "INSERT INTO batches (base_url, model, token) VALUES (?, ?, ?)"
            number = self._db.execute(add, (*self._scope, token)).lastrowid or 0
            self._db.executemany(
                "INSERT OR REPLACE INTO batch_requests VALUES (?, ?, ?, ?)",
                ((key, number, line, tries) for line, (key, tries) in enumerate(requests, 1)),
            )
        return Batch(number, token, None, None, None)

    def posting(self, number: int, file: str) -> Batch:
        """Write down that a batch is being sent off just now, with a file that is there already."""
        update = "UPDATE batches SET posted = ?, file = ? WHERE number = ?"
        with trouble(self._path):
            self._db.execute(update, (time.time(), file, number))
        return self.batch(number)

    def submitted(self, number: int, batch_id: str) -> None:
        """Write down what the provider calls a batch."""
        with trouble(self._path):
            self._db.execute("UPDATE batches SET id = ? WHERE number = ?", (batch_id, number))

    def drop(self, number: int) -> None:
        """Forget a batch and its requests: nothing of it was done, and nothing paid."""
        with trouble(self._path), transaction(self._db):
            self._db.execute("DELETE FROM batch_requests WHERE number = ?", (number,))
            self._db.execute("DELETE FROM batches WHERE number = ?", (number,))

    def refuse(self, number: int, requests: int) -> None:
        """Drop a batch, but remember that so many requests at once were too many."""
        with trouble(self._path), transaction(self._db):
            self._db.execute("DELETE FROM batch_requests WHERE number = ?", (number,))
            self._db.execute("UPDATE batches SET refused = ? WHERE number = ?", (requests, number))

    def too_many(self) -> int | None:
        """Return the least number of requests that was too many for one batch; None: no such."""
        query = "SELECT min(refused) FROM batches WHERE refused AND base_url = ? AND model = ?"
        with trouble(self._path):
            least: int | None = self._db.execute(query, self._scope).fetchone()[0]
        return least

    def forget_kept(self, keys: Iterable[bytes]) -> None:
        """Forget those of the requests whose completion is in the cache by now."""
        self._forget("key = ? AND key IN (SELECT key FROM completions)", keys)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forget requests: they are to be submitted anew when they are asked again."""
        self._forget("key = ?", keys)

    def _forget(self, which: str, keys: Iterable[bytes]) -> None:
        with trouble(self._path), transaction(self._db):
            delete = f"DELETE FROM batch_requests WHERE {which}"
            self._db.executemany(delete, ((key,) for key in keys))

    def forget_refusals(self) -> None:
        """Forget what was too many."""
        delete = "DELETE FROM batches WHERE refused AND base_url = ? AND model = ?"
        with trouble(self._path):
            self._db.execute(delete, self._scope)

    def close(self) -> None:
        """Forget the batches that are left without requests, and close the file."""
        empty = "number NOT IN (SELECT number FROM batch_requests)"
        try:
            with trouble(self._path):
                self._db.execute(f"DELETE FROM batches WHERE NOT refused AND {empty}")
        finally:
            self._db.close()
