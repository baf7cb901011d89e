"""One line of progress on a terminal, rewritten in place."""

import sys
import time
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")
INTERVAL = 0.2  # seconds
CLEAR = "\r\x1b[K"
"""To the line's start, and erase it."""


def track(rows: Iterator[T], name: str) -> Iterator[T]:
    """Pass the rows on; shows how many and how fast, five times a second."""
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


def _show(text: str) -> None:
    sys.stderr.write(f"{CLEAR}{text}")
    sys.stderr.flush()
