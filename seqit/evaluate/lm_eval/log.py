"""Log messages of lm-evaluation-harness: count warnings, and put an error into one line."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator


@contextlib.contextmanager
def count_warnings(counter: Counter[str]) -> Iterator[None]:
    """Count the warnings of the harness by their first line, instead of printing them."""
    logger = logging.getLogger("lm_eval")
    handler = _WarningCounter(counter)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _WarningCounter(logging.Handler):
    """Counts warnings by their first line."""

    def __init__(self, counter: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        self._counter[record.getMessage().strip().partition("\n")[0]] += 1


def summarize_error(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
