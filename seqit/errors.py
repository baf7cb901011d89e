"""Errors that speak to a person: what is wrong, where, and what to do."""


class SeqitError(Exception):
    """The command cannot go on; the message is a sentence for the user."""

    exit_code = 1


class UsageError(SeqitError):
    """The command was asked for something that cannot be asked for (exit code 2)."""


class RowError(SeqitError):
    """One row cannot be used; `field` names the place in it, as in ``steps[1].check``."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
