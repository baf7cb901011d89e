"""The cache file: an SQLite database in WAL mode, and the messages for its errors."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from seqit.errors import SeqitError

APPLICATION_ID = 0x73716974  # "sqit"
VERSION = 1
BUSY_TIMEOUT = 60.0  # seconds to wait for another process that writes or clears the cache
CHECKPOINT_PAGES = 4000  # in the log, 16 MB, before they are copied to the database and synced

_SCHEMA = (
    "CREATE TABLE contexts (id BLOB PRIMARY KEY, name TEXT NOT NULL, content TEXT NOT NULL)",
    "CREATE TABLE completions (key BLOB NOT NULL UNIQUE, record_id TEXT NOT NULL, "
    "iteration INTEGER NOT NULL, stage TEXT NOT NULL, attempt INTEGER NOT NULL, "
    "asked REAL NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL, "
    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, "
    "text BLOB NOT NULL, logprobs BLOB)",
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, started REAL NOT NULL, name TEXT NOT NULL, "
    "hits INTEGER NOT NULL, misses INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
"""contexts: everything in a key but the messages and the seed, as JSON; completions.key starts
with its id. text: UTF-8. asked, started: seconds since 1970."""

_USE_ANOTHER_FILE = "pass another file with --cache"
_MESSAGES = {
    sqlite3.SQLITE_NOTADB: (
        f"is not a completion cache: it is not an SQLite database; {_USE_ANOTHER_FILE}"
    ),
    sqlite3.SQLITE_CORRUPT: "is damaged; remove it, and its completions are requested again",
    sqlite3.SQLITE_READONLY: f"is not writable; make it writable, or {_USE_ANOTHER_FILE}",
    sqlite3.SQLITE_PERM: (
        f"may not be opened; make it readable and writable, or {_USE_ANOTHER_FILE}"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        f"cannot be opened, or its folder is not writable; {_USE_ANOTHER_FILE}"
    ),
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; free space and run the same command again",
    sqlite3.SQLITE_IOERR: (
        f"cannot be read or written: the disk reports an error; {_USE_ANOTHER_FILE}"
    ),
    sqlite3.SQLITE_BUSY: (
        f"was locked by another process for {BUSY_TIMEOUT:.0f} s; run the same command again"
    ),
}


def open_file(path: Path, write: bool = True) -> sqlite3.Connection:
    """Return a connection to the cache; with `write`, a missing file is created.

    Any thread may use it, one at a time; it is in autocommit mode. Raises SeqitError if the file is
    not a cache of this version, cannot be read, or with `write` cannot be written.
    """
    with translate_errors(path):
        if write:
            _create_file(path)
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw",  # rw: does not create it
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _create_tables(connection)
            _check_version(connection, path)
            if write:  # fails now rather than after the first paid completion
                connection.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Translate the errors of SQLite and the system about the file into SeqitError."""
    try:
        yield
    except sqlite3.Error as error:
        raise cache_error(path, error) from error
    except OSError as error:
        raise SeqitError(f"{path}: {error.strerror}; {_USE_ANOTHER_FILE}") from error


def cache_error(path: Path, error: sqlite3.Error) -> SeqitError:
    """Return the SeqitError for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary result code
    return SeqitError(f"{path} {_MESSAGES.get(code, f'cannot be used: {error}')}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _create_file(path: Path) -> None:
    """Create the file and its folder, readable by the user only, if they are missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    if not path.is_file():
        raise SeqitError(f"{path} is not a file; {_USE_ANOTHER_FILE}")


def _create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file; another process may be doing the same."""
    if not _is_empty(connection):
        return
    # A kill loses nothing, since the system has every commit. Only checkpoints are synced, so a
    # power failure may lose the last commits, but cannot damage the database.
    _enable_wal(connection)
    with transaction(connection):
        if _is_empty(connection):
            for statement in _SCHEMA:
                connection.execute(statement)


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Turn WAL mode on; retries, since SQLite does not wait if another process does the same."""
    end = time.monotonic() + BUSY_TIMEOUT
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


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise SeqitError(f"{path} is a database, but not a completion cache; {_USE_ANOTHER_FILE}")
    if (version := _pragma(connection, "user_version")) != VERSION:
        raise SeqitError(
            f"{path} is a cache of version {version}, but this seqit reads version {VERSION}; "
            f"remove it, or {_USE_ANOTHER_FILE}"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
