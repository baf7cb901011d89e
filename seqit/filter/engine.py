"""Rows through rules: who passes goes on unchanged, who does not is rejected with the reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from seqit.errors import UsageError
from seqit.filter.rule import Objection, RememberingRule, Rule
from seqit.records.account import Account, Row
from seqit.records.record import Record


class Verdict(NamedTuple):
    """Which rule, by its place among the rules, objects to a record, and why."""

    rule: int
    objection: Objection


def apply(rows: Iterable[Row], rules: Sequence[Rule], account: Account) -> Iterator[Row]:
    """Yield the rows that no rule objects to; the first rule that objects to a row names it.

    The rules judge in the order given, but one that remembers rows comes last. What each rule saw
    and removed is in `account.counts["rules"]` at the end. Raises UsageError for two rules that
    remember.
    """
    rules = in_order(rules)
    judge = judge_of(rules)
    return settle(((row, judge(row.value)) for row in rows), rules, account)


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules in the order in which they judge: one that remembers rows comes last.

    It must not remember a row that another rule removes. Raises UsageError for two of them.
    """
    if sum(isinstance(rule, RememberingRule) for rule in rules) > 1:
        raise UsageError(
            "two rules that remember earlier records cannot run together, since one could "
            "remember what the other removes; run seqit filter twice, with one rule each"
        )
    return sorted(rules, key=lambda rule: isinstance(rule, RememberingRule))


def judge_of(rules: Sequence[Rule]) -> Callable[[Record], Verdict | None]:
    """Return the function that asks the rules one after the other until one objects."""
    judges = list(enumerate(rule.judge for rule in rules))

    def judge(record: Record) -> Verdict | None:
        for number, ask in judges:
            if (objection := ask(record)) is not None:
                return Verdict(number, objection)
        return None

    return judge


def settle(
    judged: Iterable[tuple[Row, Verdict | None]], rules: Sequence[Rule], account: Account
) -> Iterator[Row]:
    """Yield the rows without a verdict and reject the others; tells the account what each rule did.

    The rules are in the order in which they judged.
    """
    passed = 0
    removed: Counter[int] = Counter()
    try:
        for row, verdict in judged:
            if verdict is None:
                passed += 1
                yield row
                continue
            number, (reason, message, evidence) = verdict
            removed[number] += 1
            account.reject(row, rules[number].name, reason, message, **evidence)
    finally:
        account.counts["rules"] = _tally(rules, removed, passed)


def _tally(rules: Sequence[Rule], removed: Counter[int], passed: int) -> dict[str, dict[str, int]]:
    """Return what each rule, as a user writes it, saw and removed."""
    seen = passed + removed.total()
    tally: dict[str, dict[str, int]] = {}
    for number, rule in enumerate(rules):
        tally[str(rule)] = {"seen": seen, "removed": removed[number]}
        seen -= removed[number]
    return tally
