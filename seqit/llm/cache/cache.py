"""The completion cache on disk, so that nothing is paid for twice, also after a kill."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.llm.cache.key import CONTEXT, CacheKeys
from seqit.llm.cache.store import cache_error, open_file, transaction, translate_errors
from seqit.llm.request import Completion, Request

COUNTS_INTERVAL = 1.0  # seconds

_GET = (
    "SELECT text, finish_reason, prompt_tokens, completion_tokens, model, logprobs "
    "FROM completions WHERE key = ?"
)
_PUT = "INSERT INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_CONTEXT = "INSERT INTO contexts VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

CacheEntry = tuple[bytes, Request, Completion]
"""(key, request, completion)."""


def default_cache_path() -> Path:
    """Return the default cache file, by the XDG base directory specification.

    Raises SeqitError if there is no home directory.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # by the specification, also if unset or empty
            base = Path.home() / ".cache"
    except RuntimeError:
        raise SeqitError(
            "there is no home directory for the cache; pass a file with --cache"
        ) from None
    return base / "seqit" / "completions.sqlite"


class Cache:
    """A persistent cache of completions; failures are never cached.

    One thread may get while another puts, and several processes may share a file on a local disk.
    `identity` is the backend's. What `put` stored survives a kill of the process. Messages are
    stored only as a hash. Raises SeqitError if the file is not a cache or cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.hits = self.misses = 0
        self._keys = CacheKeys(identity)
        self._name = ":".join(str(identity[k]) for k in ("kind", "model") if k in identity)
        self._stored_contexts: set[bytes] = set()  # known to be in the file
        self._run_id: int | None = None
        self._started = self._counts_saved_at = time.time()
        self._closed = False
        # One connection and a lock: a second connection for reading would lose its page cache
        # with each put, and a get would cost twice as much.
        self._lock = threading.Lock()
        self._connection = open_file(path)

    def key(self, request: Request) -> bytes:
        """Return the cache key of a request: 32 bytes."""
        return self._keys.key(request)

    def get(self, key: bytes) -> Completion | None:
        """Return the completion of a key, or None; counts a hit or a miss."""
        try:
            with self._lock:
                row = self._connection.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise cache_error(self.path, error) from error
        if row is None:
            self.misses += 1
            return None
        self.hits += 1
        text, finish_reason, prompt_tokens, completion_tokens, model, logprobs = row
        return Completion(
            text.decode("utf-8", "surrogatepass"),
            finish_reason,
            prompt_tokens,
            completion_tokens,
            model,
            orjson.loads(logprobs) if logprobs else [],
        )

    def put(self, entries: list[CacheEntry]) -> None:
        """Store completions, all or none; once this returns they survive a kill.

        A completion that a key has already is not replaced.
        """
        if not entries:
            return
        now = time.time()
        rows = [_row(now, *each) for each in entries]
        stored = self._stored_contexts
        contexts = {key[CONTEXT]: each for key, each, _ in entries if key[CONTEXT] not in stored}
        with translate_errors(self.path), self._lock:
            if len(rows) == 1 and not contexts and now < self._counts_saved_at + COUNTS_INTERVAL:
                self._connection.execute(_PUT, rows[0])  # a transaction by itself
                return
            with transaction(self._connection):
                for context, request in contexts.items():
                    content = self._keys.context(request).decode()
                    self._connection.execute(_CONTEXT, (context, self._name, content))
                self._connection.executemany(_PUT, rows)
                self._save_counts(now)
        stored.update(contexts)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Delete the completions of these keys, so that they are requested again."""
        with translate_errors(self.path), self._lock, transaction(self._connection):
            self._connection.executemany(
                "DELETE FROM completions WHERE key = ?", [(key,) for key in keys]
            )

    def close(self) -> None:
        """Save the hits and misses, and close; may be called twice."""
        if self._closed:
            return
        self._closed = True
        # A full disk or a busy database loses the counts, but does not fail the run.
        with self._lock, closing(self._connection), suppress(sqlite3.Error):
            if self.hits or self.misses:
                self._save_counts(time.time())

    def _save_counts(self, now: float) -> None:
        """Save the hits and misses of the run so far."""
        self._counts_saved_at = now
        counts = (self.hits, self.misses)
        if self._run_id is None:
            insert = "INSERT INTO runs (started, name, hits, misses) VALUES (?, ?, ?, ?)"
            cursor = self._connection.execute(insert, (self._started, self._name, *counts))
            self._run_id = cursor.lastrowid
        else:
            update = "UPDATE runs SET hits = ?, misses = ? WHERE id = ?"
            self._connection.execute(update, (*counts, self._run_id))


def _row(now: float, key: bytes, request: Request, completion: Completion) -> tuple[Any, ...]:
    return (
        key,
        request.record_id,
        request.iteration,
        request.stage,
        request.attempt,
        now,
        completion.model,
        completion.finish_reason,
        completion.prompt_tokens,
        completion.completion_tokens,
        completion.text.encode("utf-8", "surrogatepass"),
        orjson.dumps(completion.logprobs) if completion.logprobs else None,
    )
