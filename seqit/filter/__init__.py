"""Rules that drop, mask or count records, and sampling of the records that pass.

A rule goes in rules/, dedup/ or decontamination/ and is listed in registry.py. Scoring by models
is in evaluate/, combining files in mix/.
"""

from seqit.filter.engine import apply
from seqit.filter.registry import DEFAULT_RULES, RULES, default_rules, describe, parse_rule
from seqit.filter.rule import Rejection, Rule

__all__ = [
    "DEFAULT_RULES",
    "RULES",
    "Rejection",
    "Rule",
    "apply",
    "default_rules",
    "describe",
    "parse_rule",
]
