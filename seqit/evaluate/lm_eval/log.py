"""What lm-evaluation-harness says as it works: warnings counted, errors in a line."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator


@contextlib.contextmanager
def counted(warned: Counter[str]) -> Iterator[None]:
    """Count what the harness warns of, in place of showing it each time."""
    logger = logging.getLogger("lm_eval")
    handler = _Counting(warned)
    passes = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = passes


class _Counting(logging.Handler):
    """Counts warnings by their first line."""

    def __init__(self, counter: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        self._counter[record.getMessage().strip().partition("\n")[0]] += 1


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
