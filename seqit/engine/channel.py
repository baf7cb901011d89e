"""Messages between processes of one run, over a pipe."""

import contextlib
import fcntl
import marshal
import os
import pickle
from typing import IO, Any

CAPACITY = 1 << 20
"""Size of a pipe's buffer in bytes: the most that Linux grants a user by default."""


class Channel:
    """A one-way pipe that carries messages from one process to another."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # more than the system grants a user
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CAPACITY)
        self.reader: IO[bytes] = os.fdopen(reader, "rb")
        self.writer: IO[bytes] = os.fdopen(writer, "wb")
        self.files = (self.reader, self.writer)

    def send(self, message: Any) -> None:
        """Send one message; blocks while the pipe is full."""
        try:
            # Nearly all messages are plain tuples and bytes: a third of the cost of pickle.
            encoding, payload = b"m", marshal.dumps(message)
        except ValueError:
            encoding, payload = b"p", pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self.writer.write(encoding + len(payload).to_bytes(8, "big"))
        self.writer.write(payload)
        self.writer.flush()

    def receive(self) -> Any:
        """Wait for one message and return it; raises EOFError if the writing end is closed."""
        header = self.reader.read(9)
        size = int.from_bytes(header[1:], "big")
        payload = self.reader.read(size)
        if not size or len(payload) < size:
            raise EOFError
        # Safe to unpickle: a process of this run sent it.
        return (marshal.loads if header[:1] == b"m" else pickle.loads)(payload)


def picklable_error(error: Exception) -> Exception:
    """Return the error, or a RuntimeError with its text if it cannot be pickled.

    Its traceback is added as a note.
    """
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the same line
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    import traceback

    error.add_note(traceback.format_exc())
    return error
