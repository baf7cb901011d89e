"""Environment variables of a rank, in addition to those of torchrun."""

ERROR_FILE = "SEQIT_RANK_ERROR"
"""The file for the message of the error that ends the rank."""
PARENT_FD = "SEQIT_RANK_PARENT_FD"
"""A file descriptor whose other end is closed when the launcher ends."""
TTY_FD = "SEQIT_RANK_TTY_FD"
"""A file descriptor for messages to the user; set for rank 0 only."""
