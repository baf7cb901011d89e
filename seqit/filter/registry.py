"""The filter rules by name, the default set, and the parser of ``NAME:PARAMETER=VALUE,…``."""

from collections.abc import Iterable
from typing import Any

from seqit.errors import UsageError
from seqit.filter.decontamination.decontaminate import Decontaminate
from seqit.filter.dedup.exact import ExactDuplicate
from seqit.filter.dedup.near_duplicates import NearDuplicate
from seqit.filter.rule import Rule, format_value
from seqit.filter.rules.chains import ChainLength, FailingCheck, IncompleteChain, KeptUnchanged
from seqit.filter.rules.characters import NonPrinting
from seqit.filter.rules.combination import Combination
from seqit.filter.rules.copies import CopiedInstruction, InstructionEqualsOutput
from seqit.filter.rules.language import LanguageRule
from seqit.filter.rules.length import EmptyOutput, Length
from seqit.filter.rules.masking import Pii, Secrets
from seqit.filter.rules.placeholder import Placeholder
from seqit.filter.rules.refusal import Refusal
from seqit.filter.rules.repetition import Loop, Repetition
from seqit.filter.rules.retained import Retained
from seqit.records.validation import did_you_mean

RULES: dict[str, type[Rule]] = {
    "empty-output": EmptyOutput,
    "placeholder": Placeholder,
    "instruction-equals-output": InstructionEqualsOutput,
    "copied-instruction": CopiedInstruction,
    "non-printing": NonPrinting,
    "loop": Loop,
    "failing-check": FailingCheck,
    "exact-duplicate": ExactDuplicate,
    "near-duplicate": NearDuplicate,
    "length": Length,
    "repetition": Repetition,
    "refusal": Refusal,
    "keep": KeptUnchanged,
    "incomplete-chain": IncompleteChain,
    "chain-length": ChainLength,
    "combination": Combination,
    "decontaminate": Decontaminate,
    "language": LanguageRule,
    "retained": Retained,
    "pii": Pii,
    "secrets": Secrets,
}

# Rules that find only defects. The others depend on what the data are for: how long is too long,
# whether refusals and unchanged rows are wanted.
DEFAULT_RULES = (
    "empty-output",
    "placeholder",
    "instruction-equals-output",
    "copied-instruction",
    "non-printing",
    "loop",
    "failing-check",
    "exact-duplicate",
)


def default_rules() -> list[Rule]:
    """Return new instances of the rules that run by default."""
    return [RULES[name]() for name in DEFAULT_RULES]


def parse_rule(text: str) -> Rule:
    """Parse a rule as a user writes it: ``length:field=output,max_words=512``.

    Raises UsageError for an unknown rule or parameter, listing those that exist, or a bad value.
    """
    name, _, arguments = text.strip().partition(":")
    given: list[tuple[str, str]] = []
    for argument in filter(None, arguments.split(",")):
        key, equals, value = argument.strip().partition("=")
        if not equals and name in RULES:
            raise UsageError(f"rule {name!r}: {argument!r} is not written as parameter=value")
        given.append((key, value))
    return make_rule(name, given)


def make_rule(name: str, parameters: Iterable[tuple[str, str]]) -> Rule:
    """Build a rule from parameters as a user writes them; raises UsageError as `parse_rule`."""
    if name not in RULES:
        raise UsageError(
            f"there is no rule {name!r}{did_you_mean(name, RULES)}; "
            f"the rules are {', '.join(RULES)}"
        )
    known = {entry.name: entry.option for entry in RULES[name].parameters()}
    given: dict[str, Any] = {}
    for written_key, value in parameters:
        key = written_key.replace("-", "_")
        if key not in known:
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(
                f"rule {name!r} has no parameter {key!r}{did_you_mean(key, known)}; {have}"
            )
        if key in given:
            raise UsageError(f"rule {name!r}: {key} is given twice")
        try:
            given[key] = known[key].parse(value)
        except ValueError as error:
            raise UsageError(f"rule {name!r}: {key} must be {error}; found {value!r}") from None
    return RULES[name](**given)


def describe() -> list[dict[str, Any]]:
    """Return name, explanation, default and parameters of every rule, for a list to print.

    A parameter's default is written as a user would write it; None if it has none.
    """
    return [
        {
            "name": name,
            "explanation": rule.explanation,
            "default": name in DEFAULT_RULES,
            "parameters": [
                {
                    "name": entry.name,
                    "default": None if entry.default is None else format_value(entry.default),
                    "meaning": entry.option.help,
                }
                for entry in rule.parameters()
            ],
        }
        for name, rule in RULES.items()
    ]
