"""Messages between processes of one run, over a pipe."""

import contextlib
import fcntl
import marshal
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
        try:
            # Plain tuples and bytes, which nearly all messages are, at a third of pickle's cost.
            form, content = b"m", marshal.dumps(message)
        except ValueError:
            form, content = b"p", pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self.writer.write(form + len(content).to_bytes(8, "big"))
        self.writer.write(content)
        self.writer.flush()

    def receive(self) -> Any:
        """Wait for one message and return it; raises EOFError where none can come any more."""
        head = self.reader.read(9)
        size = int.from_bytes(head[1:], "big")
        content = self.reader.read(size)
        if not size or len(content) < size:
            raise EOFError
        # What a process of this run has sent.
        return (marshal.loads if head[:1] == b"m" else pickle.loads)(content)


def sendable(error: Exception) -> Exception:
    """Return the error, or one that says the same where it cannot travel, with its traceback."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the same line
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    import traceback

    error.add_note(traceback.format_exc())
    return error
