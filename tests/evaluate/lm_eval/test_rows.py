"""Score rows from the samples that lm-evaluation-harness logs; without the harness."""

import json
from math import inf, nan

import pytest

from seqit.evaluate.lm_eval.harness import BrokenBenchmark, Sample
from seqit.evaluate.lm_eval.rows import (
    RunLabels,
    finite_number,
    read_samples,
    score_samples,
    to_json,
)
from seqit.records.run_stats import RunStats
from seqit.records.validation import schema


def sample(task="quiz", **logged):
    """Return what the harness logs for one item, by default a choice among two."""
    entry = {"doc_id": 4, "doc": {}, "doc_hash": "abc", "filter": "none", "target": 1}
    entry |= {"resps": [[(-1.0, False)], [(-2.0, False)]]}
    entry |= {"filtered_resps": [(-1.0, False), (-2.0, False)], "metrics": ["acc"], "acc": 0.0}
    return Sample("quiz-5-shot", task, 5, 1.0, entry | logged, False)


def rows_of(*samples):
    """Return the score rows of samples, the run's stats and the rejects."""
    rejects = []
    stats = RunStats("bench", rejects.append)
    labels = RunLabels("tiny", "lm_eval 0")
    rows = score_samples(read_samples(iter(samples), stats), stats, labels=labels)
    rows = [row.value for row in rows]
    stats.written += len(rows)
    stats.close()
    assert all(schema("score").is_valid(row) for row in rows)
    return rows, stats, rejects


def test_each_metric_is_a_row_and_the_counts_balance():
    rows, stats, _ = rows_of(sample(metrics=["acc", "acc_norm"], acc_norm=1.0))
    assert [(row["metric"], row["value"]) for row in rows] == [("acc", 0.0), ("acc_norm", 1.0)]
    assert (stats.read, stats.added) == (1, 1)
    (first, _) = rows
    assert (first["id"], first["root"], first["judge"]) == ("quiz:4", "quiz:4", "lm-eval:quiz")
    assert first["evidence"]["loglikelihoods"] == [-1.0, -2.0]
    assert "length" not in first


def test_a_filter_is_in_the_name_of_the_metric():
    generated = {
        "resps": [["It is 8."]],
        "filtered_resps": ["8"],
        "target": "8",
        "filter": "number",
    }
    (row,), _, _ = rows_of(sample(**generated, metrics=["exact_match"], exact_match=True))
    assert (row["metric"], row["value"], row["length"]) == ("exact_match,number", 1.0, 3)
    assert (row["evidence"]["found"], row["evidence"]["said"]) == ("8", "It is 8.")


@pytest.mark.parametrize("value", [nan, inf, (1, 2), "text", None])
def test_a_value_that_is_no_number_is_never_scored(value):
    (row,), _, _ = rows_of(sample(acc=value))
    assert (row["value"], row["status"]) == (None, "failed")
    assert "no number" in row["reason"]


def test_an_item_whose_right_answer_is_no_choice_is_not_scored():
    (row,), _, _ = rows_of(sample(target=2))
    assert (row["value"], row["status"]) == (None, "failed")
    assert "choice 2, and there are 2" in row["reason"]


def test_an_item_without_a_metric_is_rejected_and_a_broken_task_fails():
    rows, stats, rejects = rows_of(
        sample(metrics=[]), BrokenBenchmark("quiz", "out of memory"), sample()
    )
    assert [row["metric"] for row in rows] == ["acc"]
    assert (stats.rejected, stats.failed) == (1, 1)
    assert [reject["reason"] for reject in rejects] == ["no-measure", "broken-off"]


def test_an_invalid_problem_fails():
    broken = sample("humaneval_generated", doc={"prompt": 3}, resps=[["pass"]])
    rows, stats, _ = rows_of(broken._replace(benchmark="humaneval-0-shot"))
    assert (rows, stats.failed) == ([], 1)


def test_values_that_json_lacks_become_text():
    class Array:
        def tolist(self):
            return [1, 2]

    assert to_json({1: (Array(), {"x"})}) == {"1": [[1, 2], "{'x'}"]}
    assert json.dumps(to_json(object())) and finite_number(True) == 1.0
