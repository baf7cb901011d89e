"""What a rank finds in its environment, beside what torchrun would set."""

ERROR_FILE = "SEQIT_RANK_ERROR"
"""The file for the sentence that the rank ends with."""
PARENT_FD = "SEQIT_RANK_PARENT_FD"
"""A descriptor whose other end is closed when the launcher is gone."""
TTY_FD = "SEQIT_RANK_TTY_FD"
"""A descriptor where people read; rank 0 alone has it."""
