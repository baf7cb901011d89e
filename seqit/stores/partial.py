"""What is being written has a name of its own until it is whole: ``.NAME.XXXXXXXX.partial``.

A process that is killed leaves such a file or folder behind. Its writer holds a lock on it, which
the kernel lets go of when he dies: so the next writer of the same name knows what is left over.
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
    """Give an empty file beside `final`, to be filled and renamed; left as it is, it is removed.

    So is what a killed writer of `final` left. Raises OSError where no file can be made.
    """
    return _partial(final, lambda path: path.touch(exist_ok=False))


def partial_folder(final: Path) -> AbstractContextManager[Path]:
    """Give an empty folder in the same way."""
    return _partial(final, Path.mkdir)


@contextlib.contextmanager
def _partial(final: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    _remove_left_over(final)
    path, lock = _make(final, make)
    try:
        yield path
    finally:
        _remove(path)
        os.close(lock)


def _make(final: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        path = final.with_name(f".{final.name}.{secrets.token_hex(_RANDOM_BYTES)}{_SUFFIX}")
        try:
            make(path)
            lock = os.open(path, os.O_RDONLY)
        except FileExistsError:
            continue
        except FileNotFoundError:
            if final.parent.is_dir():  # another writer took it for left over before it was locked
                continue
            raise
        with contextlib.suppress(OSError):  # a file system without locks: nothing is ever removed
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)


def _remove_left_over(final: Path) -> None:
    random = "[0-9a-f]" * 2 * _RANDOM_BYTES
    for path in final.parent.glob(f".{glob.escape(final.name)}.{random}{_SUFFIX}"):
        with contextlib.suppress(OSError):  # not ours, or gone
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
