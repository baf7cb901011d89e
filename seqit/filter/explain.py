"""The fate of one row: what every rule says of it, also those that the filter did not ask."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from seqit.errors import SeqitError
from seqit.filter.engine import RememberingRules, checker_for, finisher_for, in_order
from seqit.filter.rule import Rejection, RememberingRule, Rule
from seqit.records.record import Record
from seqit.records.run_stats import Row

MOST = 20
"""Rows of one id that are told of."""


class RuleFinding(NamedTuple):
    """What one rule says of a record; no objection where it passed."""

    rule: str
    objection: Rejection | None


class RowFate(NamedTuple):
    """One row: its place, and what the rules say of it, in the order in which they judge."""

    place: str
    record_id: str
    findings: list[RuleFinding]


def fates(rows: Iterable[Row], rules: Sequence[Rule], wanted: str) -> list[RowFate]:
    """Return the fate of the record with the id `wanted`, or the one whose id begins with it.

    Rules that remember see all rows before it, as in a run. Several rows may have one id: what is
    the same has the same. Raises SeqitError where no id or several begin with `wanted`.
    """
    rules = in_order(rules)
    judge, finish, memory = checker_for(rules), finisher_for(rules), RememberingRules(rules)
    found: dict[str, list[RowFate]] = {}
    for row in rows:
        record: Record = row.value
        finished = finish(record).record
        if record["id"].startswith(wanted):
            told = found.setdefault(record["id"], []) if len(found) < MOST else []
            if len(told) < MOST:
                findings = [RuleFinding(str(each), _ask(each, record, finished)) for each in rules]
                told.append(RowFate(row.place, record["id"], findings))
        if judge(record) is None:
            marks = memory.marks([finish(record)])
            memory.look_up(marks)
            memory.judge(marks[0])
    if wanted in found:
        return found[wanted]
    if not found:
        raise SeqitError(f"no record has the id {wanted}, or one that begins so")
    if len(found) > 1:
        raise SeqitError(f"several ids begin with {wanted}: {', '.join(found)}; write more of it")
    return found.popitem()[1]


def _ask(rule: Rule, record: Record, finished: Record) -> Rejection | None:
    if isinstance(rule, RememberingRule):
        key = rule.key(finished)
        rule.look_up([key])
        return rule.compare(key, finished["id"])
    return rule.judge(record)


def lines(fate: RowFate) -> Iterator[str]:
    """Yield the fate of a row as text for a person."""
    yield f"record {fate.record_id}, {fate.place}"
    width = max(len(finding.rule) for finding in fate.findings)
    for rule, objection in fate.findings:
        if objection is None:
            yield f"  {rule:{width}}  passed"
            continue
        yield f"  {rule:{width}}  objects: {objection.reason}: {objection.message}"
        yield f"  {'':{width}}  {orjson.dumps(objection.evidence).decode()}"
    first = next((finding for finding in fate.findings if finding.objection), None)
    if first is None:
        yield "it passes"
    else:
        yield f"it is rejected by {first.rule}, the first that objects"
