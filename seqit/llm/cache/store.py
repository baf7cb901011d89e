"""The file behind the cache: an SQLite database in WAL mode, and what can be wrong with it."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from seqit.errors import SeqitError

APPLICATION = 0x73716974  # "sqit"
VERSION = 1
PATIENCE = 60.0  # seconds to wait for another process that writes, or that clears the cache
CHECKPOINT = 4000  # pages in the log, 16 MB, before they are copied to the database and synced

_SCHEMA = (
    "CREATE TABLE contexts (id BLOB PRIMARY KEY, name TEXT NOT NULL, content TEXT NOT NULL)",
    "CREATE TABLE completions (key BLOB NOT NULL UNIQUE, record_id TEXT NOT NULL, "
    "iteration INTEGER NOT NULL, stage TEXT NOT NULL, attempt INTEGER NOT NULL, "
    "asked REAL NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL, "
    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, "
    "text BLOB NOT NULL, logprobs BLOB)",
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, started REAL NOT NULL, name TEXT NOT NULL, "
    "hits INTEGER NOT NULL, misses INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""contexts: all of a key but the messages and the seed, as JSON; completions.key begins with its
id. text: UTF-8. asked, started: seconds since 1970."""

_ELSEWHERE = "name another file with --cache"
_TROUBLE = {
    sqlite3.SQLITE_NOTADB: f"is no cache of completions: it is no SQLite database; {_ELSEWHERE}",
    sqlite3.SQLITE_CORRUPT: "is damaged; remove it, and its completions are asked for again",
    sqlite3.SQLITE_READONLY: f"may not be written; make it writable, or {_ELSEWHERE}",
    sqlite3.SQLITE_PERM: f"may not be opened; make it readable and writable, or {_ELSEWHERE}",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened, or nothing beside it written; {_ELSEWHERE}",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; make room, and run the same again",
    sqlite3.SQLITE_IOERR: f"cannot be read or written: the disk reports an error; {_ELSEWHERE}",
    sqlite3.SQLITE_BUSY: f"was held by another process for {PATIENCE:.0f} s; run the same again",
}


def open_file(path: Path, write: bool = True) -> sqlite3.Connection:
    """Return a connection to the cache; with `write` it is made where it is not there.

    Any thread may use it, one at a time; there are no transactions but those that one begins.
    Raises SeqitError for what is no cache of this version, or cannot be read, or written if asked.
    """
    with trouble(path):
        if write:
            _make(path)
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw",  # rw: it is not made
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _prepare(connection)
            _check(connection, path)
            if write:  # tried now, and not when the first answer is paid for
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def trouble(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say about the file into a sentence; raises SeqitError."""
    try:
        yield
    except sqlite3.Error as error:
        raise complaint(path, error) from error
    except OSError as error:
        raise SeqitError(f"{path}: {error.strerror}; {_ELSEWHERE}") from error


def complaint(path: Path, error: sqlite3.Error) -> SeqitError:
    """Return the sentence for an error of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the detail
    return SeqitError(f"{path} {_TROUBLE.get(code, f'cannot be used: {error}')}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make what is written in the block happen whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _make(path: Path) -> None:
    """Make the file and its folder, for the user's eyes alone, where they are not there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    if not path.is_file():
        raise SeqitError(f"{path} is no file; {_ELSEWHERE}")


def _prepare(connection: sqlite3.Connection) -> None:
    """Give an empty file its tables; another process may be doing the same."""
    if not _is_empty(connection):
        return
    # Killed by a signal nothing is lost: the system has every commit. Only the checkpoints are
    # synced, so a power cut may take the last commits, never the database.
    _log_ahead(connection)
    with transaction(connection):
        if _is_empty(connection):
            for statement in _SCHEMA:
                connection.execute(statement)


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn WAL on; where another process does so too, SQLite gives up without waiting."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def _is_empty(connection: sqlite3.Connection) -> bool:
    tables, *_ = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(connection, "application_id")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    if _pragma(connection, "application_id") != APPLICATION:
        raise SeqitError(f"{path} is a database, but no cache of completions; {_ELSEWHERE}")
    if (version := _pragma(connection, "user_version")) != VERSION:
        raise SeqitError(
            f"{path} is a cache of version {version}, and this seqit reads version {VERSION}; "
            f"remove it, or {_ELSEWHERE}"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
