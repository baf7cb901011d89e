"""Rows through rules: who passes goes on unchanged, who does not is rejected with the reason."""

from collections import Counter
from collections.abc import Iterator, Sequence

from seqit.errors import UsageError
from seqit.filter.rule import Rule
from seqit.records.account import Account, Row


def apply(rows: Iterator[Row], rules: Sequence[Rule], account: Account) -> Iterator[Row]:
    """Yield the rows that no rule objects to; the first rule that objects to a row names it.

    The rules judge in the order given, but one that remembers rows comes last: it must not
    remember a row that another rule removes. What each rule saw and removed is in
    `account.counts["rules"]` at the end. Raises UsageError for two rules that remember.
    """
    if sum(rule.remembers for rule in rules) > 1:
        raise UsageError(
            "two rules that remember earlier records cannot run together, since one could "
            "remember what the other removes; run seqit filter twice, with one rule each"
        )
    return _judged(rows, sorted(rules, key=lambda rule: rule.remembers), account)


def _judged(rows: Iterator[Row], rules: Sequence[Rule], account: Account) -> Iterator[Row]:
    judges = [rule.judge for rule in rules]
    passed = 0
    removed: Counter[int] = Counter()
    try:
        for row in rows:
            record = row.value
            for number, judge in enumerate(judges):
                if (objection := judge(record)) is not None:
                    rule = rules[number]
                    removed[id(rule)] += 1
                    account.reject(
                        row, rule.name, objection.reason, objection.message, **objection.evidence
                    )
                    break
            else:
                passed += 1
                yield row
    finally:
        account.counts["rules"] = _tally(rules, removed, passed)


def _tally(rules: Sequence[Rule], removed: Counter[int], passed: int) -> dict[str, dict[str, int]]:
    """Return what each rule, as a user writes it, saw and removed."""
    seen = passed + removed.total()
    tally: dict[str, dict[str, int]] = {}
    for rule in rules:
        count = removed[id(rule)]
        tally[str(rule)] = {"seen": seen, "removed": count}
        seen -= count
    return tally
