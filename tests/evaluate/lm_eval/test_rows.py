"""What lm-evaluation-harness logs becomes score rows; without the harness."""

import json
from math import inf, nan

import pytest

from seqit.evaluate.lm_eval.harness import BrokenBenchmark, Sample
from seqit.evaluate.lm_eval.rows import Labels, number, plain, read, scores
from seqit.records.run_stats import RunStats
from seqit.records.validation import schema


def sample(task="quiz", **logged):
    """Return what the harness logs of one item, a choice among two by default."""
    known = {"doc_id": 4, "doc": {}, "doc_hash": "abc", "filter": "none", "target": 1}
    known |= {"resps": [[(-1.0, False)], [(-2.0, False)]]}
    known |= {"filtered_resps": [(-1.0, False), (-2.0, False)], "metrics": ["acc"], "acc": 0.0}
    return Sample("quiz-5-shot", task, 5, 1.0, known | logged, False)


def rows_of(*found):
    """Return the rows of samples, the account of them and the rejects."""
    rejects = []
    stats = RunStats("bench", rejects.append)
    labels = Labels("tiny", "lm_eval 0")
    rows = [row.value for row in scores(read(iter(found), stats), stats, labels=labels)]
    stats.written += len(rows)
    stats.close()
    assert all(schema("score").is_valid(row) for row in rows)
    return rows, stats, rejects


def test_each_metric_is_a_row_and_the_account_balances():
    rows, stats, _ = rows_of(sample(metrics=["acc", "acc_norm"], acc_norm=1.0))
    assert [(row["metric"], row["value"]) for row in rows] == [("acc", 0.0), ("acc_norm", 1.0)]
    assert (stats.read, stats.added) == (1, 1)
    (first, _) = rows
    assert (first["id"], first["root"], first["judge"]) == ("quiz:4", "quiz:4", "lm-eval:quiz")
    assert first["evidence"]["loglikelihoods"] == [-1.0, -2.0]
    assert "length" not in first


def test_a_filter_is_in_the_name_of_the_metric():
    said = {"resps": [["It is 8."]], "filtered_resps": ["8"], "target": "8", "filter": "number"}
    (row,), _, _ = rows_of(sample(**said, metrics=["exact_match"], exact_match=True))
    assert (row["metric"], row["value"], row["length"]) == ("exact_match,number", 1.0, 3)
    assert (row["evidence"]["found"], row["evidence"]["said"]) == ("8", "It is 8.")


@pytest.mark.parametrize("value", [nan, inf, (1, 2), "text", None])
def test_what_is_no_number_is_never_one(value):
    (row,), _, _ = rows_of(sample(acc=value))
    assert (row["value"], row["status"]) == (None, "failed")
    assert "no number" in row["reason"]


def test_an_item_whose_right_answer_is_no_choice_measures_nothing():
    (row,), _, _ = rows_of(sample(target=2))
    assert (row["value"], row["status"]) == (None, "failed")
    assert "choice 2, and there are 2" in row["reason"]


def test_an_item_without_a_measure_is_rejected_and_a_broken_task_fails():
    rows, stats, rejects = rows_of(
        sample(metrics=[]), BrokenBenchmark("quiz", "out of memory"), sample()
    )
    assert [row["metric"] for row in rows] == ["acc"]
    assert (stats.rejected, stats.failed) == (1, 1)
    assert [reject["reason"] for reject in rejects] == ["no-measure", "broken-off"]


def test_a_problem_that_is_none_fails():
    broken = sample("humaneval_generated", doc={"prompt": 3}, resps=[["pass"]])
    rows, stats, _ = rows_of(broken._replace(benchmark="humaneval-0-shot"))
    assert (rows, stats.failed) == ([], 1)


def test_what_json_does_not_know_is_text():
    class Array:
        def tolist(self):
            return [1, 2]

    assert plain({1: (Array(), {"x"})}) == {"1": [[1, 2], "{'x'}"]}
    assert json.dumps(plain(object())) and number(True) == 1.0
