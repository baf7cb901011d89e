"""Files to be written: they appear whole or not at all, compressed as their names end."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from seqit.errors import SeqitError, UsageError
from seqit.stores.partial import partial_file


def check_target(name: str) -> None:
    """Raise, before any work, where a file cannot be written; UsageError for an odd name."""
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise SeqitError(f"{name}: the directory {path.parent} does not exist; make it first")


@contextlib.contextmanager
def whole_file(target: str) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when the block ends well, or not at all.

    A device or a named pipe is written directly.
    """
    path = Path(target)
    if (descriptor := _descriptor(target)) is not None:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()  # a link stays a link: what it points to is replaced
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


def _descriptor(target: str) -> int | None:
    """Return the number behind /dev/stdout or /dev/fd/3.

    Opening such a name again would start at the beginning of a file that others write too.
    """
    if target in ("/dev/stdout", "/dev/stderr"):
        return ("/dev/stdout", "/dev/stderr").index(target) + 1
    number = target.removeprefix("/dev/fd/")
    return int(number) if number != target and number.isdecimal() else None


@contextlib.contextmanager
def compressed(file: IO[bytes], target: str) -> Iterator[IO[bytes]]:
    """Give what compresses into the file, as the ending of its name says: .gz, .zst, or nothing."""
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
