"""Rows out to a folder of numbered files, of an exact number of rows each, whole or not at all."""

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

FORMATS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")
_PART = "part-{:05}.{}"
_OWN = re.compile(rf"part-\d{{5,}}\.({'|'.join(FORMATS)})|plan\.json")


class Shards:
    """Writes part-00000, part-00001, …; each but the last holds `rows` rows. One is always there.

    `parts` tells the name and the rows of each.
    """

    def __init__(self, folder: Path, rows: int, form: str) -> None:
        self.parts: list[dict[str, Any]] = []
        self._folder, self._rows, self._form = folder, rows, form
        self._left = 0
        self._open = contextlib.ExitStack()
        self._sink: Sink | None = None

    def write(self, line: bytes, value: Any) -> None:
        """Take one row; begins the next file where one is full."""
        if not self._left or self._sink is None:
            self._sink = self._next()
        self._sink.write(line, value)
        self._left -= 1
        self.parts[-1]["rows"] += 1

    def _next(self) -> Sink:
        self._open.close()
        name = _PART.format(len(self.parts), self._form)
        self.parts.append({"name": name, "rows": 0})
        self._left = self._rows
        return self._open.enter_context(open_sink(str(self._folder / name), sys.stdout.buffer))

    def flush(self) -> None:
        """Do nothing: nobody sees a file before all are whole."""

    def close(self) -> None:
        """Close the last file; an empty one stands for no rows at all."""
        if not self.parts:
            self._next()
        self._open.close()

    def abandon(self, error: BaseException) -> None:
        """Leave off amid a file."""
        self._open.__exit__(type(error), error, error.__traceback__)


@contextlib.contextmanager
def open_shards(
    target: str, rows: int, form: str, beside: Callable[[Shards], dict[str, bytes]]
) -> Iterator[Shards]:
    """Open a folder that appears, with all its files, when the block ends well, or not at all.

    `beside` gives further files, by name, at the end. A folder of shards is replaced; between the
    two renames nothing stands under its name. Raises SeqitError for any other folder.
    """
    check_folder(target)
    folder = Path(target).resolve()
    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(partial_folder(folder))
        except OSError as error:
            raise SeqitError(f"{target}: {error.strerror}") from None
        shards = Shards(partial, rows, form)
        try:
            yield shards
            shards.close()
        except BaseException as error:
            shards.abandon(error)
            raise
        for name, content in beside(shards).items():
            (partial / name).write_bytes(content)
        _replace(folder, partial)


def check_folder(target: str) -> None:
    """Raise, before any work, where shards cannot be written to a folder."""
    folder = Path(target)
    if not folder.resolve().parent.is_dir():
        raise SeqitError(f"{target}: the directory {folder.parent} does not exist; make it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{target} is a file, and shards need a folder; name another one")
    others = sorted(path.name for path in folder.iterdir() if not _OWN.fullmatch(path.name))
    if others:
        raise SeqitError(
            f"{target} holds other files ({others[0]}), and a new set of shards would replace "
            "them; name another folder"
        )


def _replace(folder: Path, partial: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    aside = partial.with_suffix(".replaced")
    folder.rename(aside)
    try:
        partial.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside)
