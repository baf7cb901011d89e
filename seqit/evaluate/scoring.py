"""Responses in, scores against references out."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from seqit.checks.measures import words
from seqit.evaluate.metrics import CODE, guess, humaneval, load
from seqit.evaluate.metrics.base import EMPTY, MetricValue, Unscorable, answer_in, labelled_answer
from seqit.evaluate.sandbox.sandbox import Sandbox, SandboxBroken, TestResult, UnusableTest
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

STAGE = "score"
JUDGE = "program"

_load = cache(load)

Head = dict[str, Any]
"""The parts of a score row that are the response's."""


class _Job(NamedTuple):
    """A response on its way: measured, or with a verdict to come, or neither, and why."""

    row: Row
    head: Head
    measures: Sequence[MetricValue] = ()
    verdict: "Future[TestResult] | None" = None
    problem: Unscorable | None = None

    @property
    def is_settled(self) -> bool:
        return self.verdict is None or self.verdict.done()


@dataclass
class _Samples:
    """The samples of one model's answers to one item."""

    head: Head
    seen: set[int] = field(default_factory=set)
    passed: int = 0


def score(
    rows: Iterable[Row],
    stats: RunStats,
    *,
    benchmark: str | None = None,
    sandbox: Sandbox | None = None,
    pass_at: Sequence[int] = (),
    workers: int = 1,
) -> Iterator[Row]:
    """Yield the scores of responses, in the order of these; what has none is rejected.

    benchmark: the name of the scorer for all rows; by default each row's own is found.
    sandbox: runs code from answers; without one, responses that need it are rejected.
    pass_at: the k for which pass@k is added for each item with code, after the last row.
    workers: how many programs are run at a time.
    """
    samples: dict[tuple[str, str], _Samples] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: deque[_Job] = deque()
        for row in rows:
            waiting.append(_begin(row, benchmark, sandbox, pool))
            while waiting and (len(waiting) > workers or waiting[0].is_settled):
                yield from _finish(waiting.popleft(), samples, stats)
        for job in waiting:
            yield from _finish(job, samples, stats)
    finally:
        pool.shutdown(cancel_futures=True)
    for counted in samples.values():
        for k in pass_at:
            stats.added += 1
            yield Row(_pass_at(counted, k))


def _begin(
    row: Row, benchmark: str | None, sandbox: Sandbox | None, pool: ThreadPoolExecutor
) -> _Job:
    response = row.value
    head: Head = {}
    try:
        name = benchmark or guess(response)
        head = _head(response, name)
        item, answer = response["item"], answer_in(response["output"])
        if name != CODE:
            return _Job(row, head, measure(name, answer, item))
        prompt, test, function = humaneval.tests_of(item)
        if sandbox is None:
            raise Unscorable("code-execution", "scoring it runs its code: --allow-code-execution")
        if source := humaneval.program(answer, prompt, function):
            verdict = pool.submit(sandbox.judge, prompt, test, function, source)
            return _Job(row, head, verdict=verdict)
        reason = "no-code" if answer.strip() else EMPTY
        return _Job(row, head, [MetricValue("pass", 0.0, reason)])
    except Unscorable as problem:
        return _Job(row, head, problem=problem)


def measure(name: str, answer: str, item: Record) -> list[MetricValue]:
    """Return what a scorer says of an answer; raises Unscorable."""
    scorer = _load(name)
    said = answer if scorer.whole else labelled_answer(answer, item)
    measures = scorer.score(said.strip(), item)
    if said.strip() or not answer.strip():
        return measures
    return [each._replace(reason="no-labelled-answer") for each in measures]


def _finish(job: _Job, samples: dict[tuple[str, str], _Samples], stats: RunStats) -> Iterator[Row]:
    measures = job.measures
    if job.problem:
        evidence = {"field": job.problem.field} if job.problem.field else {}
        stats.reject(job.row, STAGE, job.problem.reason, str(job.problem), **evidence)
        return
    if job.verdict:
        try:
            verdict = job.verdict.result()
        except UnusableTest as error:
            stats.reject(job.row, STAGE, "no-reference", str(error))
            return
        except SandboxBroken as error:
            stats.fail(job.row, STAGE, "sandbox", str(error))
            return
        evidence = {"message": verdict.message} if verdict.message else {}
        measures = [MetricValue("pass", float(verdict.passed), verdict.reason, evidence)]
    if measures[0].metric == "pass":
        counted = samples.setdefault((job.head["model"], job.head["id"]), _Samples(job.head))
        if job.head["sample"] in counted.seen:
            message = f"sample {job.head['sample']} of this item and model has come before"
            stats.reject(job.row, STAGE, "duplicate-sample", message)
            return
        counted.seen.add(job.head["sample"])
        counted.passed += int(measures[0].value)
    stats.added += len(measures) - 1
    finish = job.row.value["finish"]
    for each in measures:
        yield job.row.changed(_scored(job.head, each, finish))


def _head(response: Mapping[str, Any], scorer: str) -> Head:
    lineage = response["lineage"]
    head = {"id": response["id"], "model": response["model"]}
    head |= {"benchmark": response.get("benchmark", scorer), "sample": response["sample"]}
    head |= {key: lineage[key] for key in ("iteration", "operation", "root")}
    if "teacher" in lineage:
        head["teacher"] = lineage["teacher"]
    if "training" in response:
        head["training"] = response["training"]
    return head | {"length": len(words(response["output"]))}


def _scored(head: Head, measure: MetricValue, finish: str) -> dict[str, Any]:
    value = {"metric": measure.metric, "value": measure.value, "status": "scored", "judge": JUDGE}
    row = {**head, **value}
    if measure.position:
        row |= {"position": measure.position, "chain": measure.chain}
    if measure.reason:
        row["reason"] = measure.reason
    cut_off = {} if finish == "stop" else {"finish": finish}
    if evidence := {**measure.evidence, **cut_off}:
        row["evidence"] = evidence
    return row


def _pass_at(samples: _Samples, k: int) -> dict[str, Any]:
    """Return the score pass@k of one item; it failed where there are fewer samples than k."""
    count = len(samples.seen)
    evidence = {"samples": count, "passed": samples.passed}
    row = {key: value for key, value in samples.head.items() if key != "length"}
    row |= {"sample": 0, "metric": f"pass@{k}", "judge": JUDGE, "evidence": evidence}
    if count < k:
        few = f"pass@{k} needs {k} samples or more; there are {count}"
        return row | {"value": None, "status": "failed", "reason": few}
    value = humaneval.pass_at_k(count, samples.passed, k)
    return row | {"value": value, "status": "scored"}
