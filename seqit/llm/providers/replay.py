"""Answers from a recording: for tests, and to read the completions of an old run again.

A request that the recording does not answer is a failure, never a guess.
"""

import hashlib
import os
import tempfile
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import IO, Any, NoReturn

import orjson

from seqit.errors import RowError, SeqitError
from seqit.llm.backend import Deliver
from seqit.llm.providers.recording import Recorded, key_of, recorded, recording
from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome
from seqit.records.readers.rows import read_rows
from seqit.records.run_stats import RunStats
from seqit.records.validation import shorten
from seqit.stores.sources import check_sources

__all__ = ["ReplayBackend", "recording"]

_Place = tuple[int, int]  # offset and length in the spool


class ReplayBackend:
    """Answers each request with what the recording `path` holds for its messages.

    A recording that was made with the request's seed is preferred. Else each record gets the
    recordings of the same messages in turn, first to last, as it asks again; with `repeat` the
    last one answers all further asking. The formats are those of seqit.llm.providers.recording, as
    JSONL, a JSON array or Parquet, plain or compressed.

    In memory are 16 bytes and a place for each recording and again for its seed, about 300 bytes
    in all; the completions are in an unnamed temporary file.
    """

    capacity = 0

    def __init__(self, path: str, *, repeat: bool = False) -> None:
        self.name = f"replay:{Path(path).name}"
        self._path = path
        self._repeat = repeat
        self._lock = threading.Lock()
        self._index: _Index | None = None
        self._asked: Counter[tuple[bytes, str, int, str]] = Counter()
        self._deliver: Deliver | None = None
        self._news = threading.Event()

    @property
    def structured(self) -> bool:
        """Whether any of the recorded requests had a JSON Schema, and so another prompt."""
        return self._loaded().structured

    def identity(self) -> dict[str, Any]:
        """Return the kind and the hash of the recording's bytes: another file, other answers."""
        return {"kind": "replay", "sha256": self._loaded().sha256, "repeat": self._repeat}

    def open(self, deliver: Deliver) -> None:
        """Read the recording; raises SeqitError where it cannot be read."""
        self._loaded()
        self._deliver = deliver

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Answer at once."""
        assert self._deliver is not None, "submit comes after open"
        index = self._loaded()
        self._deliver([(ticket, self._answer(index, request)) for ticket, request in batch])
        self._news.set()

    def wait(self, timeout: float | None) -> None:
        """Return after answers or a `wake`, at once where there were some since the last wait."""
        self._news.wait(timeout)
        self._news.clear()

    def wake(self) -> None:
        """Make a `wait` return."""
        self._news.set()

    def close(self) -> None:
        """Forget the recording."""
        self._deliver = None
        with self._lock:
            if self._index:
                self._index.close()
                self._index = None

    def _loaded(self) -> "_Index":
        with self._lock:
            if self._index is None:
                self._index = _Index(self._path)
            return self._index

    def _answer(self, index: "_Index", request: Request) -> RequestOutcome:
        key = key_of(request.messages)
        asker = (key, request.record_id, request.iteration, request.stage)
        number = self._asked[asker]
        self._asked[asker] += 1
        if place := index.exact.get(key_of(request.messages, request.seed)):
            return index.completion(place)
        places = index.places.get(key, [])
        if number >= len(places) and not (self._repeat and places):
            return self._missing(request, len(places))
        return index.completion(places[min(number, len(places) - 1)])

    def _missing(self, request: Request, count: int) -> FailedRequest:
        content = request.messages[-1]["content"]
        if not isinstance(content, str):
            content = "\n".join(part["text"] for part in content if part["type"] == "text")
        shown = shorten(" ".join(content.split()), 80)
        what = f"holds {count} answer(s)" if count else "holds no answer"
        more = " and was asked for one more" if count else ""
        message = f"{self._path} {what} to the messages that end with {shown!r}{more}"
        return FailedRequest("no-recording", message, evidence={"asked": shown})


class _Index:
    """Where each recorded completion stands in the spool, by what it answered."""

    def __init__(self, path: str) -> None:
        check_sources((path,))
        with Path(path).open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.structured = False
        self.exact: dict[bytes, _Place] = {}
        self.places: dict[bytes, list[_Place]] = {}
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        # Not every recording that is looked at is opened and closed as a backend.
        self.close = weakref.finalize(self, self._spool.close)
        self._end = 0
        try:
            for row in read_rows([path], RunStats("replay", _refuse)):
                try:
                    self._add(recorded(row.value))
                except RowError as error:
                    field = f"{error.field}: " if error.field else ""
                    raise SeqitError(f"{row.place}: {field}{error}") from None
            self._spool.flush()
        except BaseException:
            self.close()
            raise

    def _add(self, row: Recorded) -> None:
        text = orjson.dumps(row.completion)
        self._spool.write(text)
        place = (self._end, len(text))
        self._end += len(text)
        self.places.setdefault(key_of(row.messages), []).append(place)
        if row.seed is not None:
            self.exact.setdefault(key_of(row.messages, row.seed), place)
        self.structured = self.structured or row.structured

    def completion(self, place: _Place) -> Completion:
        """Return the completion at a place; any thread may ask."""
        offset, size = place
        return Completion(**orjson.loads(os.pread(self._spool.fileno(), size, offset)))


def _refuse(reject: dict[str, Any]) -> NoReturn:
    """Stop at a row that cannot be read: what it recorded would be asked in vain."""
    line = f":{reject['line']}" if reject["line"] else ""
    raise SeqitError(f"{reject['source']}{line}: {reject['message']}")
