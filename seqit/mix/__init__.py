"""Mixtures: sources combined by weights or counts, in rows or tokens, sampled and shuffled.

Amounts and caps, the plan, the pool of rows and the report. Rules that drop rows are in filter/.
"""

from seqit.mix.mixture import mix

__all__ = ["mix"]
