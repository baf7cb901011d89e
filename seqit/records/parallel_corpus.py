"""Parallel rows: the same row in several languages becomes one record that holds them all."""

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

Place = bytes | tuple[int, int, int]
"""What two rows must share to be one: an id as JSON, or file, line and place on the line."""


def language_of(source_name: str) -> str | None:
    """Return the language (ISO 639-1) that a file's name ends in, as xquad.de.json does."""
    name = PurePath(source_name)
    while name.suffix in _ENDINGS:
        name = name.with_suffix("")
    last = name.name.replace("_", ".").replace("-", ".").rpartition(".")[2]
    return last if last in _CODES.split() else None


def pair(streams: Mapping[str, Iterator[Row]], stats: RunStats, key: str = "id") -> Iterator[Row]:
    """Yield each row of the first language with its content in the others as metadata.parallel.

    Rows with the same metadata[key] belong together; without one, rows on the same line of their
    files, so that a line that could not be read moves no other. A row must be there in every
    language, or fails in all. Of the other languages the texts alone are kept.

    Memory: the first language streams; the rows of the others, and the keys of the first, are
    held. Raises UsageError for fewer than two languages.
    """
    lead, *others = streams
    if not others:
        raise UsageError("pairing needs at least two languages")
    held = {language: _hold(streams[language], language, stats, key) for language in others}
    seen: set[Place] = set()
    for place, row in _placed(streams[lead], key):
        if place in seen:
            _fail_duplicate(row, lead, stats, place)
            continue
        seen.add(place)
        found = {language: rows.pop(place) for language, rows in held.items() if place in rows}
        problem = _obstacle(row.value, place, [each for each in others if each not in found])
        if problem:
            for each in (row, *found.values()):
                stats.fail(each, "pair", *problem)
            continue
        stats.merged += len(found)
        yield row.changed(_joined(row.value, lead, found))
    for rows in held.values():
        for place, row in rows.items():
            stats.fail(row, "pair", "unpaired", _unpaired(place, [lead]))


def _hold(rows: Iterator[Row], language: str, stats: RunStats, key: str) -> dict[Place, Row]:
    held: dict[Place, Row] = {}
    for place, row in _placed(rows, key):
        if place in held:
            _fail_duplicate(row, language, stats, place)
        else:
            held[place] = row
    return held


def _placed(rows: Iterator[Row], key: str) -> Iterator[tuple[Place, Row]]:
    """Yield each row with what its translations share; files count in the order they come."""
    file, line, nth = -1, -1, 0
    source: str | None = None
    for row in rows:
        if row.source != source:
            source, file, line = row.source, file + 1, -1
        nth = nth + 1 if row.line == line else 1  # a JSON array may stand on one line
        line = row.line
        value: Any = row.value.get("metadata", {}).get(key)
        yield ((file, line, nth) if value is None else orjson.dumps(value)), row


def _joined(record: Record, lead: str, others: Mapping[str, Row]) -> Record:
    # The content is the lead's own, and so are id and lineage.
    parallel = {
        language: {part: row.value[part] for part in ("instruction", "input", "output")}
        for language, row in others.items()
    }
    metadata = {**record.get("metadata", {}), "language": lead, "parallel": parallel}
    return {**record, "metadata": metadata}


def _obstacle(record: Record, place: Place, missing: list[str]) -> tuple[str, str] | None:
    """Return why the row cannot be joined: a reason and its sentence."""
    if missing:
        return "unpaired", _unpaired(place, missing)
    for name in ("language", "parallel"):
        if name in record.get("metadata", {}):
            return "column-taken", f"the first language has a column {name!r} already; rename it"
    return None


def _unpaired(place: Place, missing: list[str]) -> str:
    return f"there is no row {_words(place)} in {' and '.join(missing)}"


def _fail_duplicate(row: Row, language: str, stats: RunStats, place: Place) -> None:
    message = f"an earlier {language} row {_words(place)} was taken"
    stats.fail(row, "pair", "duplicate", message, language=language)


def _words(place: Place) -> str:
    if isinstance(place, bytes):
        return f"with the id {shorten(place.decode())}"
    return "at its place in the file (files without ids must agree line by line)"
