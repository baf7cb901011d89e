"""Unfinished output has a temporary name until it is complete: ``.NAME.XXXXXXXX.partial``.

A process that is killed leaves such a file or folder behind. The writer holds a lock on it, which
the kernel releases when the process dies, so the next writer of the same name can remove it.
"""

import contextlib
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

_SUFFIX = ".partial"
_RANDOM_BYTES = 4


def partial_file(final: Path) -> AbstractContextManager[Path]:
    """Create an empty file next to `final`, to be filled and renamed; removed if not renamed.

    Leftovers of killed writers of `final` are removed too. Raises OSError if no file can be
    created.
    """
    return _partial(final, lambda path: path.touch(exist_ok=False))


def partial_folder(final: Path) -> AbstractContextManager[Path]:
    """Create an empty folder in the same way."""
    return _partial(final, Path.mkdir)


@contextlib.contextmanager
def _partial(final: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    _remove_leftovers(final)
    path = lock = None
    # The file is created within the block: a signal at any moment after that removes it.
    try:
        while lock is None or path is None:
            path = final.with_name(f".{final.name}.{secrets.token_hex(_RANDOM_BYTES)}{_SUFFIX}")
            lock = _create_locked(path, create)
            if lock is None:
                path = None  # it is another writer's
        yield path
    finally:
        if path is not None:
            _remove(path)
        if lock is not None:
            os.close(lock)


def _create_locked(path: Path, create: Callable[[Path], None]) -> int | None:
    """Create the file or folder and return its lock; None if another writer has taken the name."""
    try:
        create(path)
        lock = os.open(path, os.O_RDONLY)
    except FileExistsError:
        return None
    except FileNotFoundError:
        if path.parent.is_dir():  # another writer removed it as a leftover before the lock
            return None
        raise
    with contextlib.suppress(OSError):  # without file locks, leftovers are never removed
        fcntl.flock(lock, fcntl.LOCK_EX)
    if path.exists():
        return lock
    os.close(lock)
    return None


def _remove_leftovers(final: Path) -> None:
    random = "[0-9a-f]" * 2 * _RANDOM_BYTES
    for path in final.parent.glob(f".{glob.escape(final.name)}.{random}{_SUFFIX}"):
        with contextlib.suppress(OSError):  # locked by its writer, or gone
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
