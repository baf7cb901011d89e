"""Exceptions with messages for users: what is wrong, where, and what to do."""


class SeqitError(Exception):
    """Raised when the command cannot continue; the message is a sentence for the user."""

    exit_code = 1


class UsageError(SeqitError):
    """Raised for invalid options or arguments, or invalid combinations (exit code 2)."""


class RowError(SeqitError):
    """Raised when one row cannot be used; `field` is its path, as in ``steps[1].check``."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
