"""Parallel corpora: the same row in several languages becomes one record with all of them."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import orjson

from seqit.errors import UsageError
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import shorten

# ISO 639-1
_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs "
    "ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff "
    "fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id "  # codespell:ignore
    "ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku "
    "kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my "
    "na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu "  # codespell:ignore
    "rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv "
    "sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo "  # codespell:ignore
    "wa wo xh yi yo za zh zu "
)
_ENDINGS = frozenset((".json", ".jsonl", ".ndjson", ".tsv", ".txt", ".parquet", ".gz", ".zst"))

PairKey = bytes | tuple[int, int, int]
"""What translations of a row share: an id as JSON, or file, line and position on the line."""


def language_of(source_name: str) -> str | None:
    """Return the language (ISO 639-1) that a file's name ends in, as in xquad.de.json."""
    name = PurePath(source_name)
    while name.suffix in _ENDINGS:
        name = name.with_suffix("")
    last = name.name.replace("_", ".").replace("-", ".").rpartition(".")[2]
    return last if last in _CODES.split() else None


def pair(streams: Mapping[str, Iterator[Row]], stats: RunStats, key: str = "id") -> Iterator[Row]:
    """Yield each row of the first language with its content in the others as metadata.parallel.

    Rows with the same metadata[key] belong together; rows without one are paired by the line of
    their files, so that a line that could not be read shifts no other. A row must exist in every
    language, or fails in all. Of the other languages only the texts are kept.

    Memory: the first language streams; the rows of the others and the keys of the first are kept.
    Raises UsageError for fewer than two languages.
    """
    first, *others = streams
    if not others:
        raise UsageError("pairing needs at least two languages")
    rows_by_key = {each: _index(streams[each], each, stats, key) for each in others}
    seen: set[PairKey] = set()
    for pair_key, row in _with_keys(streams[first], key):
        if pair_key in seen:
            _fail_duplicate(row, first, stats, pair_key)
            continue
        seen.add(pair_key)
        found = {each: rows.pop(pair_key) for each, rows in rows_by_key.items() if pair_key in rows}
        problem = _problem(row.value, pair_key, [each for each in others if each not in found])
        if problem:
            for each in (row, *found.values()):
                stats.fail(each, "pair", *problem)
            continue
        stats.merged += len(found)
        yield row.with_value(_merge(row.value, first, found))
    for rows in rows_by_key.values():
        for pair_key, row in rows.items():
            stats.fail(row, "pair", "unpaired", _unpaired_message(pair_key, [first]))


def _index(rows: Iterator[Row], language: str, stats: RunStats, key: str) -> dict[PairKey, Row]:
    found: dict[PairKey, Row] = {}
    for pair_key, row in _with_keys(rows, key):
        if pair_key in found:
            _fail_duplicate(row, language, stats, pair_key)
        else:
            found[pair_key] = row
    return found


def _with_keys(rows: Iterator[Row], key: str) -> Iterator[tuple[PairKey, Row]]:
    """Yield each row with the key that its translations share; files are numbered in order."""
    file, line, nth = -1, -1, 0
    source: str | None = None
    for row in rows:
        if row.source != source:
            source, file, line = row.source, file + 1, -1
        nth = nth + 1 if row.line == line else 1  # a JSON array may be on one line
        line = row.line
        value: Any = row.value.get("metadata", {}).get(key)
        yield ((file, line, nth) if value is None else orjson.dumps(value)), row


def _merge(record: Record, language: str, others: Mapping[str, Row]) -> Record:
    # Content, id and lineage are those of the first language.
    parallel = {
        other: {part: row.value[part] for part in ("instruction", "input", "output")}
        for other, row in others.items()
    }
    metadata = {**record.get("metadata", {}), "language": language, "parallel": parallel}
    return {**record, "metadata": metadata}


def _problem(record: Record, pair_key: PairKey, missing: list[str]) -> tuple[str, str] | None:
    """Return why the row cannot be merged, as reason and message; None if it can."""
    if missing:
        return "unpaired", _unpaired_message(pair_key, missing)
    for name in ("language", "parallel"):
        if name in record.get("metadata", {}):
            return "column-taken", f"the first language has a column {name!r} already; rename it"
    return None


def _unpaired_message(pair_key: PairKey, missing: list[str]) -> str:
    return f"there is no row {_describe_key(pair_key)} in {' and '.join(missing)}"


def _fail_duplicate(row: Row, language: str, stats: RunStats, pair_key: PairKey) -> None:
    message = f"an earlier {language} row {_describe_key(pair_key)} was taken"
    stats.fail(row, "pair", "duplicate", message, language=language)


def _describe_key(pair_key: PairKey) -> str:
    if isinstance(pair_key, bytes):
        return f"with the id {shorten(pair_key.decode())}"
    return "at its place in the file (files without ids must agree line by line)"
