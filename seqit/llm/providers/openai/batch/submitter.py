"""Submits batches so that none is submitted twice, also after a kill or a lost response."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from seqit.errors import SeqitError
from seqit.llm.providers.openai.batch.api import BatchAPI, RequestRefused, UnknownResult
from seqit.llm.providers.openai.batch.store import Batch, BatchStore

_MAX_CREATIONS = 5
_POLL_INTERVAL = 2.0  # seconds


class Submitter:
    """Submits batches, and finds those that a killed run submitted.

    listing_delay: seconds after which a batch whose submission got no response, and which is not
    listed, is taken as not received. notify: called with a sentence for each batch.
    """

    def __init__(
        self,
        api: BatchAPI,
        store: BatchStore,
        cache: Path,
        listing_delay: float,
        notify: Callable[[str], None],
    ) -> None:
        self._api = api
        self._store = store
        self._lock_file = cache.with_name(f"{cache.name}.batches-lock")
        self._listing_delay = listing_delay
        self._notify = notify

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Make other runs with the same cache wait before they submit.

        So a planned batch without an id is from a run that was killed.
        """
        with self._lock_file.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released if the process is killed
            yield

    def recover(self) -> None:
        """Find the batches of runs killed while submitting; drop those that were never received."""
        for batch in self._store.without_id():
            sent = batch.submitted_at
            found = sent and self._find(batch, sent + self._listing_delay)
            if found:
                self._store.record_id(batch.number, found["id"])
                self._notify(f"found batch {found['id']}, which an earlier run submitted")
            else:
                self._store.drop(batch.number)

    def submit(self, requests: list[tuple[bytes, int]], file: IO[bytes]) -> Batch:
        """Submit a file with a line for each (key, tries); returns the batch with its id.

        Raises SeqitError if it is not accepted; then the store forgets it.
        """
        batch = self._store.plan(requests)
        try:
            file_id = self._api.upload(file, f"seqit-{batch.token}.jsonl")
            created = self._create(batch.number, file_id)
        except RequestRefused as error:
            self._store.drop(batch.number)
            raise SeqitError(
                f"a batch of {len(requests):,} requests was refused: {error}"
            ) from None
        self._store.record_id(batch.number, created["id"])
        self._notify(f"submitted batch {created['id']} with {len(requests):,} requests")
        return self._store.batch(batch.number)

    def _create(self, number: int, file_id: str) -> dict[str, Any]:
        """Create the batch; without a response, look for it before trying again."""
        last_error: UnknownResult | None = None
        for _ in range(_MAX_CREATIONS):
            batch = self._store.record_submission(number, file_id)
            try:
                return self._api.create(file_id, batch.token)
            except UnknownResult as error:
                last_error = error
            if found := self._find(batch, time.time() + self._listing_delay):
                return found
        raise SeqitError(
            f"a batch could not be submitted; run the same command again: {last_error}"
        )

    def _find(self, batch: Batch, deadline: float) -> dict[str, Any] | None:
        """Look for a batch at the provider until a deadline by which it must be listed."""
        while True:
            found = self._api.find(batch.token, batch.file or "", batch.submitted_at or 0)
            remaining = deadline - time.time()
            if found or remaining <= 0:
                return found
            time.sleep(min(remaining, _POLL_INTERVAL))
