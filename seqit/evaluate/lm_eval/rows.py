"""What lm-evaluation-harness logged, as score rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqit.checks.measures import words
from seqit.errors import RowError
from seqit.evaluate.lm_eval.harness import HUMANEVAL, BrokenBenchmark, Sample
from seqit.evaluate.metrics import CODE
from seqit.evaluate.sandbox.sandbox import Sandbox
from seqit.evaluate.scoring import score
from seqit.records.formats.humaneval import to_records
from seqit.records.run_stats import Row, RunStats

STAGE = "lm-eval"


@dataclass(frozen=True)
class Labels:
    """What all rows of a run say: whose answers they are, and who measured."""

    model: str
    library: str
    training: str = ""


def read(found: Iterator[Sample | BrokenBenchmark], stats: RunStats) -> Iterator[Row]:
    """Yield each sample as a row whose value is JSON; a task that broke off fails."""
    for each in found:
        stats.read += 1
        if isinstance(each, BrokenBenchmark):
            where = Row({"benchmark": each.benchmark}, f"{STAGE}:{each.benchmark}")
            stats.fail(where, STAGE, "broken-off", each.message)
            continue
        value = {**each._asdict(), "logged": plain(each.logged)}
        yield Row(value, f"{STAGE}:{each.task}", int(each.logged["doc_id"]) + 1)


def scores(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    labels: Labels,
    sandbox: Sandbox | None = None,
    pass_at: Sequence[int] = (),
    workers: int = 1,
) -> Iterator[Row]:
    """Yield a score for each measure of each sample; one that was not measured is rejected.

    The answers of HumanEval are run in the sandbox, `workers` at a time; `pass_at`: the k of its
    pass@k.
    """
    for row in rows:
        if row.value["benchmark"].startswith(f"{HUMANEVAL}-"):
            try:
                asked = list(_responses(row, labels))
            except RowError as error:
                stats.fail(row, STAGE, "format", str(error))
                continue
            stats.added += len(asked) - 1
            for scored in score(
                asked, stats, benchmark=CODE, sandbox=sandbox, pass_at=pass_at, workers=workers
            ):
                evidence = {**scored.value.get("evidence", {}), **_origin(row.value, labels)}
                yield scored.changed({**scored.value, "evidence": evidence})
            continue
        found = list(_measured(row.value, labels))
        if not found:
            stats.reject(row, STAGE, "no-measure", "the task measures nothing on a single item")
            continue
        stats.added += len(found) - 1
        yield from (row.changed(value) for value in found)


def _measured(sample: Mapping[str, Any], labels: Labels) -> Iterator[dict[str, Any]]:
    """Yield the scores of a sample: a metric has the filter in its name, where there is one."""
    logged, task = sample["logged"], sample["task"]
    key = f"{task}:{logged['doc_id']}"
    name = logged["filter"]
    evidence = _origin(sample, labels) | _answer(logged)
    unusable = _unusable(logged)
    for metric in logged["metrics"]:
        value = None if unusable else number(logged.get(metric))
        row = _head(key, sample, labels)
        row["metric"] = metric if name == "none" else f"{metric},{name}"
        row |= {"value": value, "status": "failed" if value is None else "scored"}
        row |= {"judge": f"{STAGE}:{task}", "root": key}
        if labels.training:
            row["training"] = labels.training
        if (said := _said(logged)) is not None:
            row["length"] = len(words(said))
        if value is None:
            row["reason"] = unusable or "the harness gives no number for a single item"
        yield row | {"evidence": evidence}


def _head(key: str, sample: Mapping[str, Any], labels: Labels) -> dict[str, Any]:
    return {"id": key, "model": labels.model, "benchmark": sample["benchmark"], "sample": 0}


def _origin(sample: Mapping[str, Any], labels: Labels) -> dict[str, Any]:
    """Return what tells one measurement from another: task, version, examples, item."""
    logged = sample["logged"]
    return {
        **{name: sample[name] for name in ("task", "version", "shots", "chat")},
        "doc_id": logged["doc_id"],
        "doc_hash": logged["doc_hash"],
        "filter": logged["filter"],
        "library": labels.library,
    }


def _answer(logged: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model said, as the filter left it, and what is right."""
    said = _said(logged)
    if said is None:  # one log-likelihood a choice, and whether it is the greedy text
        chances = [each[0] if isinstance(each, list) else each for each in logged["filtered_resps"]]
        return {"loglikelihoods": chances, "expected": logged["target"]}
    filtered = logged["filtered_resps"]
    return {"found": filtered[0] if filtered else None, "expected": logged["target"], "said": said}


def _unusable(logged: Mapping[str, Any]) -> str:
    """Say why an item measures nothing: the harness calls every choice wrong, if none is right."""
    target, choices = logged["target"], len(logged["filtered_resps"])
    is_choice = _said(logged) is None and isinstance(target, int) and choices > 1
    if is_choice and not 0 <= target < choices:
        return f"the item's right answer is choice {target}, and there are {choices} (from 0)"
    return ""


def _said(logged: Mapping[str, Any]) -> str | None:
    """Return the text that the model wrote; None where it chose among given ones."""
    first = logged["resps"][0][0] if logged["resps"] and logged["resps"][0] else None
    return first if isinstance(first, str) else None


def _responses(row: Row, labels: Labels) -> Iterator[Row]:
    """Yield the programs of one item as responses."""
    logged = row.value["logged"]
    key = f"{HUMANEVAL}:{logged['doc_id']}"
    lineage = {"root": key, "iteration": 0, "operation": "seed"}
    item = {"id": key, **to_records(logged["doc"])[0], "lineage": lineage}
    for place, output in enumerate(logged["resps"][0]):
        response = {**_head(key, row.value, labels), "sample": place, "output": output}
        # The harness does not tell whether it was cut off.
        response |= {"finish": "stop", "item": item, "lineage": lineage}
        if labels.training:
            response["training"] = labels.training
        yield row.changed(response)


def number(value: Any) -> float | None:
    """Return a measure as a number; None for pairs, texts and what is not finite."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers of numpy as numbers, what it does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
