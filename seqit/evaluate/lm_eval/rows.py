"""Convert the samples that lm-evaluation-harness logs into score rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqit.checks.text_units import words
from seqit.errors import RowError
from seqit.evaluate.lm_eval.harness import HUMANEVAL, BrokenBenchmark, Sample
from seqit.evaluate.metrics import CODE
from seqit.evaluate.sandbox.sandbox import Sandbox
from seqit.evaluate.scoring import score_responses
from seqit.records.formats.humaneval import to_records
from seqit.records.run_stats import Row, RunStats

STAGE = "lm-eval"


@dataclass(frozen=True)
class RunLabels:
    """Fields that are the same in all rows of a run: the model, the library, the training hash."""

    model: str
    library: str
    training: str = ""


def read_samples(samples: Iterator[Sample | BrokenBenchmark], stats: RunStats) -> Iterator[Row]:
    """Yield each sample as a row whose value is JSON; a benchmark that broke off fails."""
    for sample in samples:
        stats.read += 1
        if isinstance(sample, BrokenBenchmark):
            row = Row({"benchmark": sample.benchmark}, f"{STAGE}:{sample.benchmark}")
            stats.fail(row, STAGE, "broken-off", sample.message)
            continue
        value = {**sample._asdict(), "logged": to_json(sample.logged)}
        yield Row(value, f"{STAGE}:{sample.task}", int(sample.logged["doc_id"]) + 1)


def score_samples(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    labels: RunLabels,
    sandbox: Sandbox | None = None,
    pass_at: Sequence[int] = (),
    workers: int = 1,
) -> Iterator[Row]:
    """Yield a score row for each metric of each sample; samples without a metric are rejected.

    The answers of HumanEval are run in the sandbox, `workers` at a time. pass_at: the k of its
    pass@k.
    """
    for row in rows:
        if row.value["benchmark"].startswith(f"{HUMANEVAL}-"):
            try:
                responses = list(_program_responses(row, labels))
            except RowError as error:
                stats.fail(row, STAGE, "format", str(error))
                continue
            stats.added += len(responses) - 1
            for scored in score_responses(
                responses, stats, benchmark=CODE, sandbox=sandbox, pass_at=pass_at, workers=workers
            ):
                evidence = {**scored.value.get("evidence", {}), **_run_evidence(row.value, labels)}
                yield scored.with_value({**scored.value, "evidence": evidence})
            continue
        scores = list(_metric_rows(row.value, labels))
        if not scores:
            stats.reject(row, STAGE, "no-measure", "the task measures nothing on a single item")
            continue
        stats.added += len(scores) - 1
        yield from (row.with_value(score) for score in scores)


def _metric_rows(sample: Mapping[str, Any], labels: RunLabels) -> Iterator[dict[str, Any]]:
    """Yield the score rows of a sample; the metric's name includes the filter, if there is one."""
    logged, task = sample["logged"], sample["task"]
    key = f"{task}:{logged['doc_id']}"
    name = logged["filter"]
    evidence = _run_evidence(sample, labels) | _answer_evidence(logged)
    unusable = _unusable_reason(logged)
    for metric in logged["metrics"]:
        value = None if unusable else finite_number(logged.get(metric))
        row = _base_row(key, sample, labels)
        row["metric"] = metric if name == "none" else f"{metric},{name}"
        row |= {"value": value, "status": "failed" if value is None else "scored"}
        row |= {"judge": f"{STAGE}:{task}", "root": key}
        if labels.training:
            row["training"] = labels.training
        if (text := _generated_text(logged)) is not None:
            row["length"] = len(words(text))
        if value is None:
            row["reason"] = unusable or "the harness gives no number for a single item"
        yield row | {"evidence": evidence}


def _base_row(key: str, sample: Mapping[str, Any], labels: RunLabels) -> dict[str, Any]:
    return {"id": key, "model": labels.model, "benchmark": sample["benchmark"], "sample": 0}


def _run_evidence(sample: Mapping[str, Any], labels: RunLabels) -> dict[str, Any]:
    """Return the evidence that identifies a measurement: task, version, few-shot number, item."""
    logged = sample["logged"]
    return {
        **{name: sample[name] for name in ("task", "version", "shots", "chat")},
        "doc_id": logged["doc_id"],
        "doc_hash": logged["doc_hash"],
        "filter": logged["filter"],
        "library": labels.library,
    }


def _answer_evidence(logged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's answer, the filter's output, and the expected answer."""
    text = _generated_text(logged)
    filtered = logged["filtered_resps"]
    if text is None:  # for each choice its log-likelihood, and whether it is the greedy text
        values = [each[0] if isinstance(each, list) else each for each in filtered]
        return {"loglikelihoods": values, "expected": logged["target"]}
    return {"found": filtered[0] if filtered else None, "expected": logged["target"], "said": text}


def _unusable_reason(logged: Mapping[str, Any]) -> str:
    """Return why an item cannot be scored, or "".

    If no choice is the right answer, the harness counts every choice as wrong.
    """
    target, choices = logged["target"], len(logged["filtered_resps"])
    is_choice = _generated_text(logged) is None and isinstance(target, int) and choices > 1
    if is_choice and not 0 <= target < choices:
        return f"the item's right answer is choice {target}, and there are {choices} (from 0)"
    return ""


def _generated_text(logged: Mapping[str, Any]) -> str | None:
    """Return the text that the model generated; None for a multiple-choice task."""
    first = logged["resps"][0][0] if logged["resps"] and logged["resps"][0] else None
    return first if isinstance(first, str) else None


def _program_responses(row: Row, labels: RunLabels) -> Iterator[Row]:
    """Yield the programs for one item as responses."""
    logged = row.value["logged"]
    key = f"{HUMANEVAL}:{logged['doc_id']}"
    lineage = {"root": key, "iteration": 0, "operation": "seed"}
    item = {"id": key, **to_records(logged["doc"])[0], "lineage": lineage}
    for sample, output in enumerate(logged["resps"][0]):
        response = {**_base_row(key, row.value, labels), "sample": sample, "output": output}
        # The harness does not report whether the answer was cut off.
        response |= {"finish": "stop", "item": item, "lineage": lineage}
        if labels.training:
            response["training"] = labels.training
        yield row.with_value(response)


def finite_number(value: Any) -> float | None:
    """Return a metric's value as a float; None for pairs, texts, NaN and infinity."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def to_json(value: Any) -> Any:
    """Convert a value to JSON types: numpy values to numbers and lists, unknown types to text."""
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "tolist"):
        return to_json(value.tolist())
    return str(value)
