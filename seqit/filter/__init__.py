"""Records in, records that no rule objects to out; every other one is rejected with a reason."""

from seqit.filter.engine import apply
from seqit.filter.registry import DEFAULT, RULES, default_rules, describe, parse_rule
from seqit.filter.rule import Rejection, Rule

__all__ = [
    "DEFAULT",
    "RULES",
    "Rejection",
    "Rule",
    "apply",
    "default_rules",
    "describe",
    "parse_rule",
]
