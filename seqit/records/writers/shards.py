"""Writing rows to a folder of numbered files with a fixed number of rows, replaced atomically."""

import contextlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.records.writers.sink import Sink, open_sink
from seqit.stores.partial import partial_folder

SHARD_FORMATS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")
_SHARD_NAME = "part-{:05}.{}"
_OWN_FILES = re.compile(rf"part-\d{{5,}}\.({'|'.join(SHARD_FORMATS)})|plan\.json")


class ShardSink:
    """Writes part-00000, part-00001, …: at least one file, each but the last with `rows` rows.

    `parts` has the name and the number of rows of each file.
    """

    def __init__(self, folder: Path, rows: int, file_format: str) -> None:
        self.parts: list[dict[str, Any]] = []
        self._folder, self._rows, self._file_format = folder, rows, file_format
        self._left = 0
        self._open_file = contextlib.ExitStack()
        self._sink: Sink | None = None

    def write(self, line: bytes, value: Any) -> None:
        """Write one row; starts the next file if the current one is full."""
        if not self._left or self._sink is None:
            self._sink = self._next_file()
        self._sink.write(line, value)
        self._left -= 1
        self.parts[-1]["rows"] += 1

    def _next_file(self) -> Sink:
        self._open_file.close()
        name = _SHARD_NAME.format(len(self.parts), self._file_format)
        self.parts.append({"name": name, "rows": 0})
        self._left = self._rows
        path = str(self._folder / name)
        return self._open_file.enter_context(open_sink(path, sys.stdout.buffer))

    def flush(self) -> None:
        """Do nothing: no file is visible before all are complete."""

    def close(self) -> None:
        """Close the last file; if there were no rows, write one empty file."""
        if not self.parts:
            self._next_file()
        self._open_file.close()

    def abort(self, error: BaseException) -> None:
        """Close the current file without completing it."""
        self._open_file.__exit__(type(error), error, error.__traceback__)


@contextlib.contextmanager
def open_shards(
    target: str, rows: int, file_format: str, extra_files: Callable[[ShardSink], dict[str, bytes]]
) -> Iterator[ShardSink]:
    """Open a folder that appears with all its files if the block ends without an error.

    `extra_files` is called at the end and returns further files by name. An existing folder of
    shards is replaced; between the two renames, no folder has its name. Raises SeqitError for any
    other folder.
    """
    check_shard_folder(target)
    folder = Path(target).resolve()
    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(partial_folder(folder))
        except OSError as error:
            raise SeqitError(f"{target}: {error.strerror}") from None
        shards = ShardSink(partial, rows, file_format)
        try:
            yield shards
            shards.close()
        except BaseException as error:
            shards.abort(error)
            raise
        for name, content in extra_files(shards).items():
            (partial / name).write_bytes(content)
        _replace(folder, partial)


def check_shard_folder(target: str) -> None:
    """Check, before any work, that shards can be written to a folder.

    Raises UsageError if it is a file, SeqitError if it cannot be created or has other files.
    """
    folder = Path(target)
    if not folder.resolve().parent.is_dir():
        raise SeqitError(f"{target}: the directory {folder.parent} does not exist; make it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{target} is a file, and shards need a folder; name another one")
    others = sorted(path.name for path in folder.iterdir() if not _OWN_FILES.fullmatch(path.name))
    if others:
        raise SeqitError(
            f"{target} contains other files ({others[0]}), and a new set of shards would replace "
            "them; name another folder"
        )


def _replace(folder: Path, partial: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    replaced = partial.with_suffix(".replaced")
    folder.rename(replaced)
    try:
        partial.rename(folder)
    except BaseException:
        replaced.rename(folder)
        raise
    shutil.rmtree(replaced)
