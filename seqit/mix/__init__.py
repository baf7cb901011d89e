"""Several sources become one training mixture, by weights or counts, rows or tokens."""

from seqit.mix.mixture import mix

__all__ = ["mix"]
