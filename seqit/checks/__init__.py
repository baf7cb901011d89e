"""Program checks: verify the steps of a chain without a judge."""

from seqit.checks.kinds import KINDS
from seqit.checks.verify import record_problems, verify

__all__ = ["KINDS", "record_problems", "verify"]
