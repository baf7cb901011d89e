"""Submits batches so that none is submitted twice, whatever happens in between."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from seqit.errors import SeqitError
from seqit.llm.providers.openai.batch.api import BatchAPI, RequestRefused, UnknownResult
from seqit.llm.providers.openai.batch.store import Batch, BatchStore

_CREATIONS = 5
_LISTED_EVERY = 2.0  # seconds


class Submitter:
    """Sends batches off, and finds those that a killed run sent off.

    settle: seconds after which a batch that was sent off without an answer, and is not listed,
    was never received. tell: gets a sentence for each batch.
    """

    def __init__(
        self,
        api: BatchAPI,
        ledger: BatchStore,
        cache: Path,
        settle: float,
        tell: Callable[[str], None],
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._lock = cache.with_name(f"{cache.name}.batches-lock")
        self._settle = settle
        self._tell = tell

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs with the same cache from submitting; they wait.

        So whatever is planned and has no id was left by a run that died.
        """
        with self._lock.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a killed process loses it
            yield

    def recover(self) -> None:
        """Find the batches of runs that died while they submitted; forget what never went off."""
        for batch in self._ledger.unfinished():
            found = batch.posted and self._find(batch, batch.posted + self._settle)
            if found:
                self._ledger.submitted(batch.number, found["id"])
                self._tell(f"found batch {found['id']}, which an earlier run submitted")
            else:
                self._ledger.drop(batch.number)

    def post(self, requests: list[tuple[bytes, int]], file: IO[bytes]) -> Batch:
        """Submit a file with a line for each (key, tries); returns the batch with its id.

        Raises SeqitError where it was not accepted; then nothing is remembered of it.
        """
        batch = self._ledger.plan(requests)
        try:
            file_id = self._api.upload(file, f"seqit-{batch.token}.jsonl")
            created = self._create(batch.number, file_id)
        except RequestRefused as error:
            self._ledger.drop(batch.number)
            raise SeqitError(
                f"a batch of {len(requests):,} requests was refused: {error}"
            ) from None
        self._ledger.submitted(batch.number, created["id"])
        self._tell(f"submitted batch {created['id']} with {len(requests):,} requests")
        return self._ledger.batch(batch.number)

    def _create(self, number: int, file_id: str) -> dict[str, Any]:
        """Create the batch; where no answer comes, look whether it is there before trying again."""
        last: UnknownResult | None = None
        for _ in range(_CREATIONS):
            batch = self._ledger.posting(number, file_id)
            try:
                return self._api.create(file_id, batch.token)
            except UnknownResult as error:
                last = error
            if found := self._find(batch, time.time() + self._settle):
                return found
        raise SeqitError(f"a batch could not be submitted; run the same command again: {last}")

    def _find(self, batch: Batch, until: float) -> dict[str, Any] | None:
        """Look for a batch at the provider, until a time at which it must be listed."""
        while True:
            found = self._api.find(batch.token, batch.file or "", batch.posted or 0)
            left = until - time.time()
            if found or left <= 0:
                return found
            time.sleep(min(left, _LISTED_EVERY))
