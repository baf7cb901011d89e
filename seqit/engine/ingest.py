"""Foreign rows in: a source in one of the dataset formats becomes records."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Protocol

import orjson

from seqit.engine.outcome_buffer import BufferedOutcome, OutcomeBuffer, apply_outcomes
from seqit.errors import RowError, UsageError
from seqit.records.formats import Format, complete, guess, load
from seqit.records.formats.base import Layout
from seqit.records.parallel_corpus import language_of, pair
from seqit.records.readers.rows import (
    RawRow,
    RowUnit,
    Wait,
    batches_of,
    document_of,
    fail_row,
    parts_of,
    rows_from,
    rows_of,
    texts_from,
    unit_of,
    weight,
)
from seqit.records.reading_comparison import reading_difference
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema
from seqit.stores.sources import SourceStream, open_source

AUTO = "auto"
PARALLEL = ("xquad", "mgsm")
"""Formats whose publishers give one file a language: several files are paired by themselves."""


def read_format(
    names: Sequence[str],
    stats: RunStats,
    before_read: Wait | None = None,
    *,
    form: str = AUTO,
    dataset: str = "",
    languages: Sequence[str] = (),
    say: Callable[[str], None] = lambda message: None,
    spread: "ParallelMap | None" = None,
) -> Iterator[Row]:
    """Yield the records of sources in the format `form`; with `languages`, one a source, paired.

    `say` hears what was guessed where the format is ``auto``. `spread` lets other processes do
    the work where no rows are to be paired; such rows have bytes and no value. Raises UsageError
    where languages and sources do not match, SeqitError where no format fits the first row.
    """
    reader = _Reader(stats, form, dataset, say)
    may_pair = languages or (len(names) > 1 and form in (AUTO, *PARALLEL))
    if spread and not may_pair:
        for name in names:
            yield from reader.spread(name, before_read, spread)
        return
    streams = [reader.records(name, before_read) for name in names]
    if not languages and len(names) > 1:
        streams[0], first = _peeked(streams[0])
        if first and first.value["source"]["format"] in PARALLEL:
            languages = _languages_of(names)
    if not languages:
        yield from chain.from_iterable(streams)
        return
    if len(languages) != len(names) or len(set(languages)) != len(languages):
        raise UsageError(
            "--languages must name one language for each SOURCE, each once; "
            f"it names {', '.join(languages)} for {', '.join(names)}"
        )
    say(f"pairing {languages[0]} with {', '.join(languages[1:])}")
    yield from pair(dict(zip(languages, streams, strict=True)), stats)


def _peeked(rows: Iterator[Row]) -> tuple[Iterator[Row], Row | None]:
    first = next(rows, None)
    return (rows if first is None else chain((first,), rows)), first


def _languages_of(names: Sequence[str]) -> Sequence[str]:
    """Return the languages that the files' names end in, where they tell them all apart."""
    found = [language for name in names if (language := language_of(name))]
    return found if len(set(found)) == len(names) else ()


class ParallelMap(Protocol):
    """Applies a function to lists of items in several processes, in order."""

    def __call__(
        self,
        function: Callable[[list[RawRow]], list[BufferedOutcome]],
        batches: Iterable[list[RawRow]],
        weigh: Callable[[RawRow], int],
    ) -> Iterator[BufferedOutcome]: ...


class _Reader:
    """Reads sources in one format, which the first row decides where it is to be guessed."""

    def __init__(
        self, stats: RunStats, form: str, dataset: str, say: Callable[[str], None]
    ) -> None:
        self._stats = stats
        self._format = None if form == AUTO else load(form)
        self._dataset = dataset
        self._say = say

    def records(self, name: str, before_read: Wait | None) -> Iterator[Row]:
        """Yield the records of one source; rows that are not of the format fail."""
        with open_source(name, before_read) as source:
            yield from self._converted(self._rows(source), self._stats)

    def spread(self, name: str, before_read: Wait | None, spread: ParallelMap) -> Iterator[Row]:
        """Yield the same records without their values, as bytes that other processes made."""
        with open_source(name, before_read) as source:
            layout = self._layout(source)
            if layout == "document":
                yield from self._converted(self._items(source), self._stats)
                return
            unit: RowUnit = "lines" if layout == "lines" else unit_of(source)
            batch = partial(self._batch, name=source.name, unit=unit, layout=layout)
            yield from apply_outcomes(spread(batch, batches_of(source, unit), weight), self._stats)

    def _batch(
        self, parts: list[RawRow], name: str, unit: RowUnit, layout: Layout
    ) -> list[BufferedOutcome]:
        ledger = OutcomeBuffer(schema("record"))
        read = texts_from if layout == "lines" else partial(rows_from, unit=unit)
        for row in self._converted(read(parts, name, stats=ledger), ledger):
            ledger.write(row)
        return ledger.entries()

    def _converted(self, rows: Iterator[Row], stats: RunStats) -> Iterator[Row]:
        for row in rows:
            form = self._format or self._guess(row)
            try:
                found = form.to_records(row.value)
            except RowError as error:
                if form.published:
                    _compare(form.published(row.value), row, stats, None, str(error))
                fail_row(stats, row, error, "import")
                continue
            if form.published:
                _compare(form.published(row.value), row, stats, found[0]["instruction"])
            for fields in found:
                yield row.changed(complete(fields, form.name, self._dataset))
            stats.added += len(found) - 1

    def _guess(self, row: Row) -> Format:
        self._format = load(guess(row.value, row.source))
        self._say(f"{row.source}: read as {self._format.name}: {self._format.description}")
        return self._format

    def _layout(self, source: SourceStream) -> Layout:
        return self._format.layout if self._format else layout_of(source)

    def _rows(self, source: SourceStream) -> Iterator[Row]:
        layout = self._layout(source)
        if layout == "rows":
            return rows_of(source, self._stats)
        if layout == "lines":
            return texts_from(parts_of(source, "lines"), source.name, self._stats)
        return self._items(source)

    def _items(self, source: SourceStream) -> Iterator[Row]:
        for document in document_of(source, self._stats):
            form = self._format or self._guess(document)
            for item in form.items(document.value):
                self._stats.read += 1
                yield document.changed(item)


def _compare(
    theirs: str | None, row: Row, stats: RunStats, ours: str | None, why: str = ""
) -> None:
    """Tell the account how the row's publisher read its instruction, where the row says so."""
    if theirs is not None:
        stats.compared(row, "instruction", reading_difference(ours, theirs, why))


def layout_of(source: SourceStream) -> Layout:
    """Return what a source holds, from its first bytes: rows, text lines, or one document."""
    start = source.start.lstrip()
    if source.is_parquet or start[:1] == b"[":
        return "rows"
    if start[:1] != b"{":
        return "lines"
    line = start.split(b"\n", 1)[0].rstrip()
    try:
        first = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The first line of an indented document opens something; a broken row does not.
        return "document" if line.endswith((b"{", b"[", b",")) else "rows"
    is_document = any(load(name).matches(first) for name in ("xquad",))
    return "document" if is_document else "rows"
