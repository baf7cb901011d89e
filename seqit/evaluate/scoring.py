"""Score responses against the references of their items."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from seqit.checks.text_units import words
from seqit.evaluate.metrics import CODE, humaneval, load_scorer, scorer_for
from seqit.evaluate.metrics.base import (
    EMPTY,
    MetricValue,
    Unscorable,
    answer_text,
    labelled_answer,
)
from seqit.evaluate.sandbox.sandbox import Sandbox, SandboxBroken, TestResult, UnusableTest
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

STAGE = "score"
JUDGE = "program"

_load_scorer = cache(load_scorer)

BaseRow = dict[str, Any]
"""The fields of a score row that come from the response."""


class _ScoringJob(NamedTuple):
    """A response with its metric values, or its pending test result, or why it has no score."""

    row: Row
    base: BaseRow
    values: Sequence[MetricValue] = ()
    test_result: "Future[TestResult] | None" = None
    problem: Unscorable | None = None

    @property
    def is_done(self) -> bool:
        return self.test_result is None or self.test_result.done()


@dataclass
class _SampleCounts:
    """Counts over the samples of one model for one item."""

    base: BaseRow
    seen: set[int] = field(default_factory=set)
    passed: int = 0


def score_responses(
    rows: Iterable[Row],
    stats: RunStats,
    *,
    benchmark: str | None = None,
    sandbox: Sandbox | None = None,
    pass_at: Sequence[int] = (),
    workers: int = 1,
) -> Iterator[Row]:
    """Yield the scores of responses, in input order; responses that cannot be scored are rejected.

    benchmark: the name of the scorer for all rows; default: chosen row by row (scorer_for).
    sandbox: runs code from answers; if None, responses that need it are rejected.
    pass_at: the k for which pass@k is added for each item with code, after the last row.
    workers: how many programs run at a time.
    """
    counts: dict[tuple[str, str], _SampleCounts] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        pending: deque[_ScoringJob] = deque()
        for row in rows:
            pending.append(_start(row, benchmark, sandbox, pool))
            while pending and (len(pending) > workers or pending[0].is_done):
                yield from _finish(pending.popleft(), counts, stats)
        for job in pending:
            yield from _finish(job, counts, stats)
    finally:
        pool.shutdown(cancel_futures=True)
    for item_counts in counts.values():
        for k in pass_at:
            stats.added += 1
            yield Row(_pass_at_k_row(item_counts, k))


def _start(
    row: Row, benchmark: str | None, sandbox: Sandbox | None, pool: ThreadPoolExecutor
) -> _ScoringJob:
    """Score a response, or submit its program to the pool."""
    response = row.value
    base: BaseRow = {}
    try:
        name = benchmark or scorer_for(response)
        base = _base_row(response, name)
        item, answer = response["item"], answer_text(response["output"])
        if name != CODE:
            return _ScoringJob(row, base, score_answer(name, answer, item))
        prompt, test, function = humaneval.read_problem(item)
        if sandbox is None:
            raise Unscorable("code-execution", "scoring it runs its code: --allow-code-execution")
        if source := humaneval.extract_program(answer, prompt, function):
            result = pool.submit(sandbox.run_tests, prompt, test, function, source)
            return _ScoringJob(row, base, test_result=result)
        reason = "no-code" if answer.strip() else EMPTY
        return _ScoringJob(row, base, [MetricValue("pass", 0.0, reason)])
    except Unscorable as problem:
        return _ScoringJob(row, base, problem=problem)


def score_answer(name: str, answer: str, item: Record) -> list[MetricValue]:
    """Return the metric values of the scorer of this name; raises Unscorable."""
    scorer = _load_scorer(name)
    text = answer if scorer.whole else labelled_answer(answer, item)
    values = scorer.score(text.strip(), item)
    if text.strip() or not answer.strip():
        return values
    return [value._replace(reason="no-labelled-answer") for value in values]


def _finish(
    job: _ScoringJob, counts: dict[tuple[str, str], _SampleCounts], stats: RunStats
) -> Iterator[Row]:
    """Yield the score rows of a job, once its program has run; count its sample for pass@k."""
    values = job.values
    if job.problem:
        evidence = {"field": job.problem.field} if job.problem.field else {}
        stats.reject(job.row, STAGE, job.problem.reason, str(job.problem), **evidence)
        return
    if job.test_result:
        try:
            result = job.test_result.result()
        except UnusableTest as error:
            stats.reject(job.row, STAGE, "no-reference", str(error))
            return
        except SandboxBroken as error:
            stats.fail(job.row, STAGE, "sandbox", str(error))
            return
        evidence = {"message": result.message} if result.message else {}
        values = [MetricValue("pass", float(result.passed), result.reason, evidence)]
    if values[0].metric == "pass":
        key = (job.base["model"], job.base["id"])
        item_counts = counts.setdefault(key, _SampleCounts(job.base))
        if job.base["sample"] in item_counts.seen:
            message = f"sample {job.base['sample']} of this item and model has come before"
            stats.reject(job.row, STAGE, "duplicate-sample", message)
            return
        item_counts.seen.add(job.base["sample"])
        item_counts.passed += int(values[0].value)
    stats.added += len(values) - 1
    finish = job.row.value["finish"]
    for value in values:
        yield job.row.with_value(_score_row(job.base, value, finish))


def _base_row(response: Mapping[str, Any], scorer: str) -> BaseRow:
    lineage = response["lineage"]
    base = {"id": response["id"], "model": response["model"]}
    base |= {"benchmark": response.get("benchmark", scorer), "sample": response["sample"]}
    base |= {key: lineage[key] for key in ("iteration", "operation", "root")}
    if "teacher" in lineage:
        base["teacher"] = lineage["teacher"]
    if "training" in response:
        base["training"] = response["training"]
    return base | {"length": len(words(response["output"]))}


def _score_row(base: BaseRow, value: MetricValue, finish: str) -> dict[str, Any]:
    row = {**base, "metric": value.metric, "value": value.value}
    row |= {"status": "scored", "judge": JUDGE}
    if value.position:
        row |= {"position": value.position, "chain": value.chain}
    if value.reason:
        row["reason"] = value.reason
    cut_off = {} if finish == "stop" else {"finish": finish}
    if evidence := {**value.evidence, **cut_off}:
        row["evidence"] = evidence
    return row


def _pass_at_k_row(counts: _SampleCounts, k: int) -> dict[str, Any]:
    """Return the score row pass@k of one item; its status is "failed" if it has < k samples."""
    count = len(counts.seen)
    evidence = {"samples": count, "passed": counts.passed}
    row = {key: value for key, value in counts.base.items() if key != "length"}
    row |= {"sample": 0, "metric": f"pass@{k}", "judge": JUDGE, "evidence": evidence}
    if count < k:
        few = f"pass@{k} needs {k} samples or more; there are {count}"
        return row | {"value": None, "status": "failed", "reason": few}
    value = humaneval.pass_at_k(count, counts.passed, k)
    return row | {"value": value, "status": "scored"}
