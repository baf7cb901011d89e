"""Apply rules to rows: rows that pass are yielded unchanged, the others are rejected."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from seqit.filter.rule import CountingRule, MaskingRule, Rejection, Rule, StatefulRule
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats


class RuleRejection(NamedTuple):
    """Which rule, by its index, rejects a record, and why."""

    rule: int
    rejection: Rejection


RuleCounter = tuple[int, str]
"""Index of a rule that counts a passed record, and the name of the counter."""


class DedupKeys(NamedTuple):
    """The keys of one record for all stateful rules, its id, and the counters it adds to."""

    keys: tuple[Any, ...]
    record_id: str
    counters: list[RuleCounter]


class PassedRecord(NamedTuple):
    """A record that passed the stateless rules, as it will be written."""

    record: Record
    counters: list[RuleCounter]


def apply(rows: Iterable[Row], rules: Sequence[Rule], stats: RunStats) -> Iterator[Row]:
    """Yield the rows that pass all rules; the first rule that fails rejects the row.

    Rules run in the order given, but stateful rules last: they remember only rows that pass all
    rules. At the end `stats.results["rules"]` has what each rule saw, removed and counted.
    """
    rules = in_execution_order(rules)
    check, finalize, stateful = checker_for(rules), finalizer_for(rules), StatefulRules(rules)

    def checked(row: Row) -> tuple[Row, RuleRejection | None]:
        if rejected_by := check(row.value):
            return row, rejected_by
        passed = finalize(row.value)
        if passed.record is not row.value:
            row = row.with_value(passed.record)
        batch = stateful.keys([passed])
        stateful.prefetch(batch)
        return row, stateful.check(batch[0])

    return apply_rejections(map(checked, rows), stateful, stats)


def in_execution_order(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules in the order in which they run: stateful rules come last."""
    return sorted(rules, key=lambda rule: isinstance(rule, StatefulRule))


def checker_for(rules: Sequence[Rule]) -> Callable[[Record], RuleRejection | None]:
    """Return a function that runs the stateless rules until one rejects the record."""
    checks = [
        (index, rule.check)
        for index, rule in enumerate(rules)
        if not isinstance(rule, StatefulRule)
    ]

    def check(record: Record) -> RuleRejection | None:
        for index, check_rule in checks:
            if (rejection := check_rule(record)) is not None:
                return RuleRejection(index, rejection)
        return None

    return check


def finalizer_for(rules: Sequence[Rule]) -> Callable[[Record], PassedRecord]:
    """Return a function that masks a passed record and collects its counters."""
    maskers = [(n, rule.mask) for n, rule in enumerate(rules) if isinstance(rule, MaskingRule)]
    counting = [
        (n, rule.counter_for) for n, rule in enumerate(rules) if isinstance(rule, CountingRule)
    ]

    def finalize(record: Record) -> PassedRecord:
        counters = [(n, name) for n, counter_for in counting if (name := counter_for(record))]
        for index, mask in maskers:
            before, record = record, mask(record)
            if record is not before:
                counters.append((index, "masked"))
        return PassedRecord(record, counters)

    return finalize


class StatefulRules:
    """The stateful rules, which see records in input order, and the counters of all rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.counters: Counter[RuleCounter] = Counter()
        self._stateful = [
            (index, rule) for index, rule in enumerate(rules) if isinstance(rule, StatefulRule)
        ]

    def keys(self, passed: Sequence[PassedRecord]) -> list[DedupKeys]:
        """Return the keys of each record; they depend on this record alone."""
        records = [each.record for each in passed]
        keys = zip(*(rule.keys(records) for _, rule in self._stateful), strict=True)
        return [DedupKeys(next(keys, ()), record["id"], counters) for record, counters in passed]

    def prefetch(self, batch: Sequence[DedupKeys]) -> None:
        """Let the rules look up the keys of a batch before each is checked."""
        for place, (_, rule) in enumerate(self._stateful):
            rule.prefetch([each.keys[place] for each in batch])

    def check(self, dedup_keys: DedupKeys) -> RuleRejection | None:
        """Return which rule rejects a record; if none does, all rules remember it."""
        for (index, rule), key in zip(self._stateful, dedup_keys.keys, strict=True):
            if (rejection := rule.compare(key, dedup_keys.record_id)) is not None:
                return RuleRejection(index, rejection)
        for (_, rule), key in zip(self._stateful, dedup_keys.keys, strict=True):
            rule.remember(key, dedup_keys.record_id)
        if dedup_keys.counters:
            self.counters.update(dedup_keys.counters)
        return None


def apply_rejections(
    checked: Iterable[tuple[Row, RuleRejection | None]], stateful: StatefulRules, stats: RunStats
) -> Iterator[Row]:
    """Yield the rows that passed, reject the others, and count in `stats` what each rule did.

    `stateful.rules` are all rules in the order in which they ran.
    """
    passed = 0
    removed: Counter[int] = Counter()
    try:
        for row, rejected_by in checked:
            if rejected_by is None:
                passed += 1
                yield row
                continue
            index, (reason, message, evidence) = rejected_by
            removed[index] += 1
            stats.reject(row, stateful.rules[index].name, reason, message, **evidence)
    finally:
        stats.results["rules"] = _rule_counts(stateful, removed, passed)


def _rule_counts(
    stateful: StatefulRules, removed: Counter[int], passed: int
) -> dict[str, dict[str, int]]:
    """Return by rule, as a user writes it, what it saw, removed and counted."""
    seen = passed + removed.total()
    counts: dict[str, dict[str, int]] = {}
    for index, rule in enumerate(stateful.rules):
        counted = {name: n for (place, name), n in stateful.counters.items() if place == index}
        removal = {"seen": seen, "removed": removed[index]}
        counts[str(rule)] = removal | dict(sorted(counted.items())) | rule.extra_counts()
        seen -= removed[index]
    return counts
