"""Staging of the given files: a temporary folder with files that DuckDB can read."""

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
class StagedFile:
    """One file: the name that the user gave, and the path from which DuckDB reads it."""

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


def stage_file(name: str, folder: Path, number: int) -> StagedFile:
    """Link a plain file into the folder; copy standard input, pipes and compressed files.

    The name of the link contains no characters that DuckDB takes for a glob pattern. Compressed
    files are decompressed here because DuckDB reads a truncated zstd file without an error. Raises
    SeqitError if the file cannot be read to its end.
    """
    with open_source(name) as source:
        path = folder / f"{number}.{'parquet' if source.is_parquet else 'json'}"
        if source.path and _is_plain(source.path, source):
            path.symlink_to(source.path.resolve())
            return StagedFile(source.name, path, source.is_parquet)
        try:
            with path.open("wb") as copy:
                for chunk in source.chunks():
                    copy.write(chunk)
        except BrokenSource as error:
            raise SeqitError(f"{source.name}: {error}") from None
        return StagedFile(source.name, path, source.is_parquet)


def _is_plain(path: Path, source: SourceStream) -> bool:
    if source.is_compressed or not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(3).startswith((_BOM, b"\xff\xfe", b"\xfe\xff"))


def first_json_error(staged: StagedFile) -> str | None:
    """Return position and message of the first row that is not JSON; None if all rows are.

    DuckDB counts the lines of malformed rows differently from version to version.
    """
    errors: list[str] = []
    stats = RunStats("sql", lambda reject: errors.append(f"{reject['line']}: {reject['message']}"))
    for _ in read_rows([str(staged.path)], stats):
        if errors:
            break
    return f"{staged.name}:{errors[0]}" if errors else None
