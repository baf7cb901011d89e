"""Messages between processes of one run, over a pipe."""

import contextlib
import fcntl
import os
import pickle
from typing import IO, Any

CAPACITY = 1 << 20
"""Bytes that a pipe holds: the most that Linux grants a user unless told otherwise."""


class Channel:
    """Carries messages one way, from one process to another."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # beyond what the system grants a user
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CAPACITY)
        self.reader: IO[bytes] = os.fdopen(reader, "rb")
        self.writer: IO[bytes] = os.fdopen(writer, "wb")
        self.files = (self.reader, self.writer)

    def send(self, message: Any) -> None:
        """Send one message; waits while the pipe is full."""
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self.writer.write(len(content).to_bytes(8, "big"))
        self.writer.write(content)
        self.writer.flush()

    def receive(self) -> Any:
        """Wait for one message and return it; raises EOFError where none can come any more."""
        size = int.from_bytes(self.reader.read(8), "big")
        content = self.reader.read(size)
        if not size or len(content) < size:
            raise EOFError
        return pickle.loads(content)  # noqa: S301 - what a process of this run has sent


def sendable(error: Exception) -> Exception:
    """Return the error, or one that says the same where it cannot travel, with its traceback."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the same line
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    import traceback

    error.add_note(traceback.format_exc())
    return error
