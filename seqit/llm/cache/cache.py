"""The cache of completions: what was paid for once is not asked again, also after a kill."""

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
from seqit.llm.cache.store import complaint, open_file, transaction, trouble
from seqit.llm.request import Completion, Request

COUNTED_EVERY = 1.0  # seconds

_GET = (
    "SELECT text, finish_reason, prompt_tokens, completion_tokens, model, logprobs "
    "FROM completions WHERE key = ?"
)
_PUT = "INSERT INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_CONTEXT = "INSERT INTO contexts VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

Answered = tuple[bytes, Request, Completion]
"""A request's key, the request, and its completion."""


def default_path() -> Path:
    """Return where the cache is unless another file is named: by the XDG rules.

    Raises SeqitError where there is no home directory.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # the rules say: unset, empty or relative, it does not count
            base = Path.home() / ".cache"
    except RuntimeError:
        raise SeqitError(
            "there is no home directory for the cache; name a file with --cache"
        ) from None
    return base / "seqit" / "completions.sqlite"


class Cache:
    """Completions on disk, kept from one run to the next; failures are never among them.

    One thread may get while another puts, and several processes may share the file, if it is on
    a disk of this machine. `identity` is the backend's. What `put` took is not lost when the
    process is killed. Messages are kept as a hash alone. Raises SeqitError for a file that is no
    cache or cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.hits = self.misses = 0
        self._keys = CacheKeys(identity)
        self._name = ":".join(str(identity[k]) for k in ("kind", "model") if k in identity)
        self._stored: set[bytes] = set()  # contexts
        self._run: int | None = None
        self._started = self._counted = time.time()
        self._closed = False
        # One connection and a lock: with a second one for reading, each put would make it drop
        # all that it has read, and a get cost twice as much.
        self._lock = threading.Lock()
        self._connection = open_file(path)

    def key(self, request: Request) -> bytes:
        """Return what a request's completion is kept under: 32 bytes."""
        return self._keys.key(request)

    def get(self, key: bytes) -> Completion | None:
        """Return the completion kept under a key, or None; either is counted."""
        try:
            with self._lock:
                row = self._connection.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise complaint(self.path, error) from error
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

    def put(self, answered: list[Answered]) -> None:
        """Keep completions, all or none; once this returns, a kill does not lose them.

        Where a key has a completion already, that one stays.
        """
        if not answered:
            return
        now = time.time()
        rows = [_row(now, *each) for each in answered]
        kept = self._stored
        contexts = {key[CONTEXT]: each for key, each, _ in answered if key[CONTEXT] not in kept}
        with trouble(self.path), self._lock:
            if len(rows) == 1 and not contexts and now < self._counted + COUNTED_EVERY:
                self._connection.execute(_PUT, rows[0])  # by itself it is a transaction
                return
            with transaction(self._connection):
                for context, request in contexts.items():
                    content = self._keys.context(request).decode()
                    self._connection.execute(_CONTEXT, (context, self._name, content))
                self._connection.executemany(_PUT, rows)
                self._count(now)
        kept.update(contexts)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Drop the completions kept under these keys, so that they are asked for anew."""
        with trouble(self.path), self._lock, transaction(self._connection):
            self._connection.executemany(
                "DELETE FROM completions WHERE key = ?", [(key,) for key in keys]
            )

    def close(self) -> None:
        """Write down the hits and misses, and close; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        # A full disk, or one that is waited for in vain, costs the counts and not the run.
        with self._lock, closing(self._connection), suppress(sqlite3.Error):
            if self.hits or self.misses:
                self._count(time.time())

    def _count(self, now: float) -> None:
        """Write down the hits and misses of the run so far."""
        self._counted = now
        counts = (self.hits, self.misses)
        if self._run is None:
            insert = "INSERT INTO runs (started, name, hits, misses) VALUES (?, ?, ?, ?)"
            cursor = self._connection.execute(insert, (self._started, self._name, *counts))
            self._run = cursor.lastrowid
        else:
            update = "UPDATE runs SET hits = ?, misses = ? WHERE id = ?"
            self._connection.execute(update, (*counts, self._run))


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
