"""The given files in a folder of our own, as DuckDB can read them, whatever they were."""

import re
from dataclasses import dataclass
from pathlib import Path

from seqit.errors import SeqitError
from seqit.records.readers.rows import read_rows
from seqit.records.run_stats import RunStats
from seqit.stores.sources import BrokenSource, SourceStream, open_source

_BOM = b"\xef\xbb\xbf"
_ENDINGS = re.compile(r"\.(jsonl|json|ndjson|parquet|gz|zst)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Staged:
    """One file: the name that the user knows, and the path where DuckDB reads it."""

    name: str
    path: Path
    is_parquet: bool

    @property
    def stem(self) -> str:
        """The name as an SQL identifier: letters, digits and underscores."""
        stem = Path(self.name).name
        while (shorter := _ENDINGS.sub("", stem)) != stem:
            stem = shorter
        word = re.sub(r"\W+", "_", stem.lower()).strip("_") or "table"
        return f"_{word}" if word[0].isdigit() else word


def stage(name: str, folder: Path, number: int) -> Staged:
    """Link a plain file into the folder; copy standard input, pipes and what is compressed.

    A link has none of the characters that DuckDB takes for a pattern. Compressed files are
    unpacked here because DuckDB takes a truncated zstd file for a whole one. Raises SeqitError
    where the file cannot be read to its end.
    """
    with open_source(name) as source:
        path = folder / f"{number}.{'parquet' if source.is_parquet else 'json'}"
        if source.path and _is_plain(source.path, source):
            path.symlink_to(source.path.resolve())
            return Staged(source.name, path, source.is_parquet)
        try:
            with path.open("wb") as copy:
                for chunk in source.chunks():
                    copy.write(chunk)
        except BrokenSource as error:
            raise SeqitError(f"{source.name}: {error}") from None
        return Staged(source.name, path, source.is_parquet)


def _is_plain(path: Path, source: SourceStream) -> bool:
    if source.is_compressed or not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(3).startswith((_BOM, b"\xff\xfe", b"\xfe\xff"))


def first_fault(staged: Staged) -> str | None:
    """Return place and sentence of the file's first row that is not JSON, if there is one.

    DuckDB counts the lines of malformed rows differently from version to version.
    """
    faults: list[str] = []
    stats = RunStats("sql", lambda fault: faults.append(f"{fault['line']}: {fault['message']}"))
    for _ in read_rows([str(staged.path)], stats):
        if faults:
            break
    return f"{staged.name}:{faults[0]}" if faults else None
