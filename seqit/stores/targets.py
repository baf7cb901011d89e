"""Files to write: they appear complete or not at all, compressed according to their suffix."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from seqit.errors import SeqitError, UsageError
from seqit.stores.partial import partial_file


def check_target(name: str) -> None:
    """Check, before any work, that a file can be written.

    Raises UsageError if it is a folder, SeqitError if its folder does not exist.
    """
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise SeqitError(f"{name}: the directory {path.parent} does not exist; make it first")


@contextlib.contextmanager
def atomic_file(target: str) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name if the block ends without an error, else not at all.

    Devices and named pipes are written directly. Raises SeqitError if the file cannot be created.
    """
    path = Path(target)
    if (descriptor := _open_descriptor(target)) is not None:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()  # a symbolic link stays: the file that it points to is replaced
    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(partial_file(path))
            file = stack.enter_context(partial.open("wb"))
        except OSError as error:
            raise SeqitError(f"{target}: {error.strerror}") from None
        yield file
        file.flush()
        os.fsync(file.fileno())
        if path.exists():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        partial.replace(path)


def _open_descriptor(target: str) -> int | None:
    """Return the file descriptor that /dev/stdout or /dev/fd/3 stands for; None for other names.

    Opening such a name again would write from the start of a file that others write to as well.
    """
    if target in ("/dev/stdout", "/dev/stderr"):
        return ("/dev/stdout", "/dev/stderr").index(target) + 1
    number = target.removeprefix("/dev/fd/")
    return int(number) if number != target and number.isdecimal() else None


@contextlib.contextmanager
def compressed(file: IO[bytes], target: str) -> Iterator[IO[bytes]]:
    """Wrap the file in a compressor if the suffix of `target` is .gz or .zst."""
    if target.endswith(".gz"):
        import gzip

        # No file name and no time in the header: the same rows give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif target.endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            yield packed
    else:
        yield file
