"""A backend that replays recorded completions, for tests and to reuse those of an old run.

A request that is not in the recording fails.
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
from seqit.llm.providers.recording import (
    RecordedCompletion,
    messages_key,
    parse_recording_row,
)
from seqit.llm.request import Completion, FailedRequest, Request, RequestOutcome
from seqit.records.readers.rows import read_rows
from seqit.records.run_stats import RunStats
from seqit.records.validation import shorten
from seqit.stores.sources import check_sources

_SpoolSlice = tuple[int, int]  # offset and length in the spool


class ReplayBackend:
    """Completes each request from the recording `path`, looked up by its messages.

    A completion recorded with the request's seed is preferred. Otherwise each record gets those of
    the same messages in order, one per request; with `repeat` the last one is returned for all
    further requests. The row formats are those of seqit.llm.providers.recording, as JSONL, a JSON
    array or Parquet, plain or compressed.

    The index takes about 300 bytes of memory per row; the completions are in an unnamed temporary
    file.
    """

    capacity = 0

    def __init__(self, path: str, *, repeat: bool = False) -> None:
        self.name = f"replay:{Path(path).name}"
        self._path = path
        self._repeat = repeat
        self._lock = threading.Lock()
        self._index: _Index | None = None
        self._times_requested: Counter[tuple[bytes, str, int, str]] = Counter()
        self._deliver: Deliver | None = None
        self._wakeup = threading.Event()

    @property
    def structured(self) -> bool:
        """Whether a recorded request had a JSON Schema, which changes the prompts."""
        return self._load_index().structured

    def identity(self) -> dict[str, Any]:
        """Return the kind and the SHA-256 of the recording."""
        return {"kind": "replay", "sha256": self._load_index().sha256, "repeat": self._repeat}

    def open(self, deliver: Deliver) -> None:
        """Load the recording; raises SeqitError if it cannot be read."""
        self._load_index()
        self._deliver = deliver

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Deliver the outcomes at once."""
        assert self._deliver is not None, "submit before open"
        index = self._load_index()
        self._deliver([(ticket, self._find(index, request)) for ticket, request in batch])
        self._wakeup.set()

    def wait(self, timeout: float | None) -> None:
        """Return after a `submit` or `wake`; at once if there was one since the last wait."""
        self._wakeup.wait(timeout)
        self._wakeup.clear()

    def wake(self) -> None:
        """Make a `wait` return."""
        self._wakeup.set()

    def close(self) -> None:
        """Release the recording."""
        self._deliver = None
        with self._lock:
            if self._index:
                self._index.close()
                self._index = None

    def _load_index(self) -> "_Index":
        with self._lock:
            if self._index is None:
                self._index = _Index(self._path)
            return self._index

    def _find(self, index: "_Index", request: Request) -> RequestOutcome:
        key = messages_key(request.messages)
        stage_key = (key, request.record_id, request.iteration, request.stage)
        number = self._times_requested[stage_key]
        self._times_requested[stage_key] += 1
        if location := index.by_seed.get(messages_key(request.messages, request.seed)):
            return index.completion(location)
        locations = index.by_messages.get(key, [])
        if number >= len(locations) and not (self._repeat and locations):
            return self._not_recorded(request, len(locations))
        return index.completion(locations[min(number, len(locations) - 1)])

    def _not_recorded(self, request: Request, count: int) -> FailedRequest:
        content = request.messages[-1]["content"]
        if not isinstance(content, str):
            content = "\n".join(part["text"] for part in content if part["type"] == "text")
        shown = shorten(" ".join(content.split()), 80)
        what = f"holds {count} answer(s)" if count else "holds no answer"
        more = " and was asked for one more" if count else ""
        message = f"{self._path} {what} to the messages that end with {shown!r}{more}"
        return FailedRequest("no-recording", message, evidence={"asked": shown})


class _Index:
    """The location of each recorded completion in the spool, by its messages and by its seed."""

    def __init__(self, path: str) -> None:
        check_sources((path,))
        with Path(path).open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.structured = False
        self.by_seed: dict[bytes, _SpoolSlice] = {}
        self.by_messages: dict[bytes, list[_SpoolSlice]] = {}
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        # The backend's `close` is not called if only its identity is needed.
        self.close = weakref.finalize(self, self._spool.close)
        self._end = 0
        try:
            for row in read_rows([path], RunStats("replay", _refuse)):
                try:
                    self._add(parse_recording_row(row.value))
                except RowError as error:
                    field = f"{error.field}: " if error.field else ""
                    raise SeqitError(f"{row.place}: {field}{error}") from None
            self._spool.flush()
        except BaseException:
            self.close()
            raise

    def _add(self, row: RecordedCompletion) -> None:
        data = orjson.dumps(row.completion)
        self._spool.write(data)
        location = (self._end, len(data))
        self._end += len(data)
        self.by_messages.setdefault(messages_key(row.messages), []).append(location)
        if row.seed is not None:
            self.by_seed.setdefault(messages_key(row.messages, row.seed), location)
        self.structured = self.structured or row.structured

    def completion(self, location: _SpoolSlice) -> Completion:
        """Return the completion at a location; may be called from any thread."""
        offset, size = location
        return Completion(**orjson.loads(os.pread(self._spool.fileno(), size, offset)))


def _refuse(reject: dict[str, Any]) -> NoReturn:
    """Raise for a row that cannot be read, since its requests would fail later."""
    line = f":{reject['line']}" if reject["line"] else ""
    raise SeqitError(f"{reject['source']}{line}: {reject['message']}")
