"""One line of progress on a terminal, rewritten in place."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from seqit.llm.scheduling.sender import Progress

T = TypeVar("T")
INTERVAL = 0.2  # seconds
CLEAR = "\r\x1b[K"
"""Carriage return, and erase the line."""


def track(rows: Iterator[T], name: str) -> Iterator[T]:
    """Yield the rows, and show their number and rate every INTERVAL seconds."""
    start = last = time.monotonic()
    count = 0
    try:
        for count, row in enumerate(rows, start=1):
            yield row
            now = time.monotonic()
            if now - last >= INTERVAL:
                last = now
                rate = count / (now - start)
                _show(f"{name}: {count:,} rows, {rate:,.0f} rows/s")
    finally:
        if last != start:
            _show("")


def model_progress(
    name: str, sources: tuple[str, ...], items_per_row: int = 1
) -> Callable[["Progress"], None]:
    """Return a function that shows a scheduler's progress: rows, tokens, cost, time left.

    The time left is shown if all sources are uncompressed JSON Lines files. The scheduler gets
    `items_per_row` items per row.
    """
    start = time.monotonic()
    total = _count_lines(sources)

    def show(progress: "Progress") -> None:
        seconds = max(time.monotonic() - start, 0.001)
        done = progress.items // items_per_row
        tokens = progress.prompt_tokens + progress.completion_tokens
        rows = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        text = f"{name}: {rows} rows, {done / seconds:,.1f} rows/s"
        text += f", {tokens / seconds:,.0f} tokens/s"
        if progress.cost is not None:
            text += f", ${progress.cost:,.2f}"
        if total and done:
            left = round((total - done) * seconds / done)
            text += f", {timedelta(seconds=max(left, 0))} left"
        _show(text)

    return show


def model_summary(progress: "Progress") -> str:
    """Return the closing line about a model: requests, tokens and cost."""
    parts = [f"requests {progress.requests:,}"]
    if progress.cached:
        parts.append(f"from the cache {progress.cached:,}")
    if progress.retries:
        parts.append(f"retries {progress.retries:,}")
    prompts, completions = progress.prompt_tokens, progress.completion_tokens
    parts.append(f"tokens {prompts:,} + {completions:,}")
    if progress.cost is not None:
        parts.append(f"US$ {progress.cost:,.4f}")
    return ", ".join(parts)


def _count_lines(sources: tuple[str, ...]) -> int | None:
    """Return the number of lines of the sources; None if one is not an uncompressed JSONL file."""
    total = 0
    for source in sources:
        path = Path(source)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            if file.read(1) != b"{":
                return None
            file.seek(0)
            total += sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return total


def _show(text: str) -> None:
    sys.stderr.write(f"{CLEAR}{text}")
    sys.stderr.flush()
