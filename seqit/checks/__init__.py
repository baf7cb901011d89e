"""Program checks: verify the steps of a chain, and compare rewritten texts, without a model.

Here: what can be decided from texts alone by rules. Not here: anything that asks a model (evaluate,
augment) or decides which records are dropped (filter).
"""

from seqit.checks.kinds import CHECK_KINDS
from seqit.checks.verify import record_problems, verify

__all__ = ["CHECK_KINDS", "record_problems", "verify"]
