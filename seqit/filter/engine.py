"""Rows through rules: who passes goes on unchanged, who does not is rejected with the reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from seqit.filter.rule import MaskingRule, Rejection, RemarkingRule, RememberingRule, Rule
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats


class RuleVerdict(NamedTuple):
    """Which rule, by its place among the rules, objects to a record, and why."""

    rule: int
    objection: Rejection


Remark = tuple[int, str]
"""Which rule counts a record that passed, and under which name."""


class DedupKeys(NamedTuple):
    """What the rules that remember compare, their keys of a record and its id, and the remarks."""

    keys: tuple[Any, ...]
    record_id: str
    remarks: list[Remark]


class Finished(NamedTuple):
    """A record that passed the rules that remember nothing, as it is to be written."""

    record: Record
    remarks: list[Remark]


def apply(rows: Iterable[Row], rules: Sequence[Rule], stats: RunStats) -> Iterator[Row]:
    """Yield the rows that no rule objects to; the first rule that objects to a row names it.

    The rules judge in the order given, but those that remember rows come last: they remember a
    row that all let pass, and no other. What each rule saw, removed and counted is in
    `stats.results["rules"]` at the end.
    """
    rules = in_order(rules)
    judge, finish, memory = checker_for(rules), finisher_for(rules), RememberingRules(rules)

    def judged(row: Row) -> tuple[Row, RuleVerdict | None]:
        if verdict := judge(row.value):
            return row, verdict
        finished = finish(row.value)
        if finished.record is not row.value:
            row = row.changed(finished.record)
        marks = memory.marks([finished])
        memory.look_up(marks)
        return row, memory.judge(marks[0])

    return apply_rejections(map(judged, rows), memory, stats)


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules in the order in which they judge: those that remember rows come last."""
    return sorted(rules, key=lambda rule: isinstance(rule, RememberingRule))


def checker_for(rules: Sequence[Rule]) -> Callable[[Record], RuleVerdict | None]:
    """Return the function that asks the rules that remember nothing, until one objects."""
    judges = [
        (number, rule.judge)
        for number, rule in enumerate(rules)
        if not isinstance(rule, RememberingRule)
    ]

    def judge(record: Record) -> RuleVerdict | None:
        for number, ask in judges:
            if (objection := ask(record)) is not None:
                return RuleVerdict(number, objection)
        return None

    return judge


def finisher_for(rules: Sequence[Rule]) -> Callable[[Record], Finished]:
    """Return the function that masks a record that passed, and asks for remarks about it."""
    maskers = [(n, rule.mask) for n, rule in enumerate(rules) if isinstance(rule, MaskingRule)]
    remarkers = [
        (n, rule.remark) for n, rule in enumerate(rules) if isinstance(rule, RemarkingRule)
    ]

    def finish(record: Record) -> Finished:
        remarks = [(n, name) for n, remark in remarkers if (name := remark(record))]
        for number, mask in maskers:
            before, record = record, mask(record)
            if record is not before:
                remarks.append((number, "masked"))
        return Finished(record, remarks)

    return finish


class RememberingRules:
    """The rules that remember, which see the records in their order, and what all counted."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.remarks: Counter[Remark] = Counter()
        self._rules = [
            (number, rule) for number, rule in enumerate(rules) if isinstance(rule, RememberingRule)
        ]

    def marks(self, finished: Sequence[Finished]) -> list[DedupKeys]:
        """Return what the rules compare of each record; it depends on this record alone."""
        records = [each.record for each in finished]
        keys = zip(*(rule.keys(records) for _, rule in self._rules), strict=True)
        return [DedupKeys(next(keys, ()), record["id"], remarks) for record, remarks in finished]

    def look_up(self, marks: Sequence[DedupKeys]) -> None:
        """Let the rules look for the keys of records that are to be judged next."""
        for place, (_, rule) in enumerate(self._rules):
            rule.look_up([mark.keys[place] for mark in marks])

    def judge(self, mark: DedupKeys) -> RuleVerdict | None:
        """Return which rule objects to a record; where none does, all remember it."""
        for (number, rule), key in zip(self._rules, mark.keys, strict=True):
            if (objection := rule.compare(key, mark.record_id)) is not None:
                return RuleVerdict(number, objection)
        for (_, rule), key in zip(self._rules, mark.keys, strict=True):
            rule.remember(key, mark.record_id)
        if mark.remarks:
            self.remarks.update(mark.remarks)
        return None


def apply_rejections(
    judged: Iterable[tuple[Row, RuleVerdict | None]], memory: RememberingRules, stats: RunStats
) -> Iterator[Row]:
    """Yield the rows without a verdict and reject the others; tells the account what each rule did.

    The memory's rules are in the order in which they judged.
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
            stats.reject(row, memory.rules[number].name, reason, message, **evidence)
    finally:
        stats.results["rules"] = _tally(memory, removed, passed)


def _tally(
    memory: RememberingRules, removed: Counter[int], passed: int
) -> dict[str, dict[str, int]]:
    """Return what each rule, as a user writes it, saw, removed and counted."""
    seen = passed + removed.total()
    tally: dict[str, dict[str, int]] = {}
    for number, rule in enumerate(memory.rules):
        counted = {name: n for (place, name), n in memory.remarks.items() if place == number}
        removal = {"seen": seen, "removed": removed[number]}
        tally[str(rule)] = removal | dict(sorted(counted.items())) | rule.facts()
        seen -= removed[number]
    return tally
