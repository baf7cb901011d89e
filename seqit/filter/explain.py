"""Explain the result of one row: run every rule on it, also those after the first that fails."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from seqit.errors import SeqitError
from seqit.filter.engine import StatefulRules, checker_for, finalizer_for, in_execution_order
from seqit.filter.rule import Rejection, Rule, StatefulRule
from seqit.records.record import Record
from seqit.records.run_stats import Row

MAX_ROWS = 20
"""Rows with one id that are explained."""


class RuleResult(NamedTuple):
    """The result of one rule for a record; `rejection` is None if it passed."""

    rule: str
    rejection: Rejection | None


class RowExplanation(NamedTuple):
    """One row: source and line, and the results of all rules in the order in which they run."""

    place: str
    record_id: str
    results: list[RuleResult]


def explain_rows(rows: Iterable[Row], rules: Sequence[Rule], wanted: str) -> list[RowExplanation]:
    """Explain the record with the id `wanted`, or the one whose id begins with it.

    Stateful rules see all rows before it, as in a run. Several rows may have one id, since ids
    come from the content. Raises SeqitError if no id or several begin with `wanted`.
    """
    rules = in_execution_order(rules)
    check, finalize, stateful = checker_for(rules), finalizer_for(rules), StatefulRules(rules)
    found: dict[str, list[RowExplanation]] = {}
    for row in rows:
        record: Record = row.value
        passed = finalize(record).record
        if record["id"].startswith(wanted):
            explanations = found.setdefault(record["id"], []) if len(found) < MAX_ROWS else []
            if len(explanations) < MAX_ROWS:
                results = [
                    RuleResult(str(each), _check_alone(each, record, passed)) for each in rules
                ]
                explanations.append(RowExplanation(row.place, record["id"], results))
        if check(record) is None:
            keys = stateful.keys([finalize(record)])
            stateful.prefetch(keys)
            stateful.check(keys[0])
    if wanted in found:
        return found[wanted]
    if not found:
        raise SeqitError(f"no record has an id that begins with {wanted}")
    if len(found) > 1:
        raise SeqitError(f"several ids begin with {wanted}: {', '.join(found)}; give more digits")
    return found.popitem()[1]


def _check_alone(rule: Rule, record: Record, passed: Record) -> Rejection | None:
    if isinstance(rule, StatefulRule):
        key = rule.key(passed)
        rule.prefetch([key])
        return rule.compare(key, passed["id"])
    return rule.check(record)


def format_explanation(explanation: RowExplanation) -> Iterator[str]:
    """Yield the explanation as lines of text."""
    yield f"record {explanation.record_id}, {explanation.place}"
    width = max(len(result.rule) for result in explanation.results)
    for rule, rejection in explanation.results:
        if rejection is None:
            yield f"  {rule:{width}}  passed"
            continue
        yield f"  {rule:{width}}  objects: {rejection.reason}: {rejection.message}"
        yield f"  {'':{width}}  {orjson.dumps(rejection.evidence).decode()}"
    first = next((result for result in explanation.results if result.rejection), None)
    if first is None:
        yield "it passes"
    else:
        yield f"it is rejected by {first.rule}, the first that objects"
