"""Import: read sources in one of the dataset formats and convert their rows to records."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Protocol

import orjson

from seqit.engine.outcome_buffer import BufferedOutcome, OutcomeBuffer, apply_outcomes
from seqit.errors import RowError, UsageError
from seqit.records.formats import Format, complete_record, guess_format, load_format
from seqit.records.formats.base import Layout
from seqit.records.parallel_corpus import language_of, pair
from seqit.records.readers.rows import (
    BeforeRead,
    RawRow,
    RowUnit,
    decode_rows,
    decode_texts,
    fail_row,
    read_document,
    read_raw_batches,
    read_raw_rows,
    read_source_rows,
    row_unit,
    undecoded_size,
)
from seqit.records.reading_comparison import reading_difference
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema
from seqit.stores.sources import SourceStream, open_source

AUTO = "auto"
PARALLEL_FORMATS = ("xquad", "mgsm")
"""Formats that are published as one file per language: several files are paired automatically."""


def read_format(
    names: Sequence[str],
    stats: RunStats,
    before_read: BeforeRead | None = None,
    *,
    format_name: str = AUTO,
    dataset: str = "",
    languages: Sequence[str] = (),
    notify: Callable[[str], None] = lambda message: None,
    parallel_map: "ParallelMap | None" = None,
) -> Iterator[Row]:
    """Yield the records of the sources; with `languages`, one per source, their rows are paired.

    `notify` receives a message about the guessed format if `format_name` is ``auto``.
    `parallel_map` converts rows in other processes if no rows are to be paired; such rows have
    `raw` and no `value`. Raises UsageError if languages and sources do not match, SeqitError if
    no format fits the first row.
    """
    reader = _Reader(stats, format_name, dataset, notify)
    may_pair = languages or (len(names) > 1 and format_name in (AUTO, *PARALLEL_FORMATS))
    if parallel_map and not may_pair:
        for name in names:
            yield from reader.records_in_parallel(name, before_read, parallel_map)
        return
    streams = [reader.records(name, before_read) for name in names]
    if not languages and len(names) > 1:
        streams[0], first = _peek(streams[0])
        if first and first.value["source"]["format"] in PARALLEL_FORMATS:
            languages = _languages_from_names(names)
    if not languages:
        yield from chain.from_iterable(streams)
        return
    if len(languages) != len(names) or len(set(languages)) != len(languages):
        raise UsageError(
            "--languages must name one language for each SOURCE, each once; "
            f"it names {', '.join(languages)} for {', '.join(names)}"
        )
    notify(f"pairing {languages[0]} with {', '.join(languages[1:])}")
    yield from pair(dict(zip(languages, streams, strict=True)), stats)


def _peek(rows: Iterator[Row]) -> tuple[Iterator[Row], Row | None]:
    first = next(rows, None)
    return (rows if first is None else chain((first,), rows)), first


def _languages_from_names(names: Sequence[str]) -> Sequence[str]:
    """Return the languages that the files' names end in; empty unless each has a different one."""
    found = [language for name in names if (language := language_of(name))]
    return found if len(set(found)) == len(names) else ()


class ParallelMap(Protocol):
    """Applies a function to lists of rows in several processes, in order; see WorkerPool.map."""

    def __call__(
        self,
        function: Callable[[list[RawRow]], list[BufferedOutcome]],
        batches: Iterable[list[RawRow]],
        size_of: Callable[[RawRow], int],
    ) -> Iterator[BufferedOutcome]: ...


class _Reader:
    """Reads sources in one format; if none is given, it is guessed from the first row."""

    def __init__(
        self, stats: RunStats, format_name: str, dataset: str, notify: Callable[[str], None]
    ) -> None:
        self._stats = stats
        self._format = None if format_name == AUTO else load_format(format_name)
        self._dataset = dataset
        self._notify = notify

    def records(self, name: str, before_read: BeforeRead | None) -> Iterator[Row]:
        """Yield the records of one source; rows that are not in the format fail."""
        with open_source(name, before_read) as source:
            yield from self._convert(self._rows(source), self._stats)

    def records_in_parallel(
        self, name: str, before_read: BeforeRead | None, parallel_map: ParallelMap
    ) -> Iterator[Row]:
        """Yield the same records, encoded in other processes: with `raw` and no `value`."""
        with open_source(name, before_read) as source:
            layout = self._layout(source)
            if layout == "document":
                yield from self._convert(self._items(source), self._stats)
                return
            unit: RowUnit = "lines" if layout == "lines" else row_unit(source)
            function = partial(self._convert_batch, name=source.name, unit=unit, layout=layout)
            outcomes = parallel_map(function, read_raw_batches(source, unit), undecoded_size)
            yield from apply_outcomes(outcomes, self._stats)

    def _convert_batch(
        self, raw_rows: list[RawRow], name: str, unit: RowUnit, layout: Layout
    ) -> list[BufferedOutcome]:
        buffer = OutcomeBuffer(schema("record"))
        decode = decode_texts if layout == "lines" else partial(decode_rows, unit=unit)
        for row in self._convert(decode(raw_rows, name, stats=buffer), buffer):
            buffer.write(row)
        return buffer.outcomes()

    def _convert(self, rows: Iterator[Row], stats: RunStats) -> Iterator[Row]:
        for row in rows:
            row_format = self._format or self._guess(row)
            published = row_format.published
            try:
                found = row_format.to_records(row.value)
            except RowError as error:
                if published:
                    _compare(published(row.value), row, stats, None, str(error))
                fail_row(stats, row, error, "import")
                continue
            if published:
                _compare(published(row.value), row, stats, found[0]["instruction"])
            for fields in found:
                yield row.with_value(complete_record(fields, row_format.name, self._dataset))
            stats.added += len(found) - 1

    def _guess(self, row: Row) -> Format:
        self._format = load_format(guess_format(row.value, row.source))
        self._notify(f"{row.source}: read as {self._format.name}: {self._format.description}")
        return self._format

    def _layout(self, source: SourceStream) -> Layout:
        return self._format.layout if self._format else layout_of(source)

    def _rows(self, source: SourceStream) -> Iterator[Row]:
        layout = self._layout(source)
        if layout == "rows":
            return read_source_rows(source, self._stats)
        if layout == "lines":
            return decode_texts(read_raw_rows(source, "lines"), source.name, self._stats)
        return self._items(source)

    def _items(self, source: SourceStream) -> Iterator[Row]:
        for document in read_document(source, self._stats):
            document_format = self._format or self._guess(document)
            for item in document_format.items(document.value):
                self._stats.read += 1
                yield document.with_value(item)


def _compare(
    published: str | None, row: Row, stats: RunStats, parsed: str | None, reason: str = ""
) -> None:
    """Count how the parsed instruction differs from the published one, if the row has one."""
    if published is not None:
        stats.add_reading(row, "instruction", reading_difference(parsed, published, reason))


def layout_of(source: SourceStream) -> Layout:
    """Return the layout of a source, from its first bytes: rows, text lines, or one document."""
    start = source.start.lstrip()
    if source.is_parquet or start[:1] == b"[":
        return "rows"
    if start[:1] != b"{":
        return "lines"
    line = start.split(b"\n", 1)[0].rstrip()
    try:
        first = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The first line of an indented document ends with an opening bracket or a comma; that of
        # a broken row does not.
        return "document" if line.endswith((b"{", b"[", b",")) else "rows"
    is_document = any(load_format(name).matches(first) for name in ("xquad",))
    return "document" if is_document else "rows"
