"""AlpacaEval: all forms of preferences in its files, and the published leaderboard."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.annotations import annotation, short_model, write_reference
from support.paths import DATA

from seqit.errors import RowError, SeqitError
from seqit.records.validation import schema
from seqit.scores.alpacaeval import annotation_scores, is_annotation, leaderboard_entries
from seqit.scores.stats.length_controlled import (
    JudgedPair,
    length_controlled_win_rate,
    read_reference,
)
from seqit.scores.stats.logistic import fit_logistic, logistic
from seqit.scores.stats.win_rate import win_rate, win_share

np = pytest.importorskip("numpy")

FOLDER = DATA / "alpacaeval"
MODELS = sorted(path.parent.name for path in FOLDER.glob("*/annotations.json"))


@pytest.mark.parametrize(
    ("preference", "share"),
    [
        (1, 0.0), (2, 1.0), (1.5, 0.5), (0, 0.5), (0.0, 0.5), (1.25, 0.25), ("1.75", 0.75),
        (None, None), (math.nan, None), (-1, None), (2.5, None), (0.5, None), (True, None),
        ("tie", None), ([], None), (math.inf, None),
    ],
)  # fmt: skip
def test_a_preference_gives_a_share_of_the_win_or_none(preference: Any, share: Any) -> None:
    assert win_share(preference) == share


def test_a_win_rate_counts_missing_preferences() -> None:
    found = win_rate([1, 2, 2, 1.5, 0, None, 7, 1.9])
    assert (found.n_total, found.missing) == (6, 2)
    assert (found.n_wins, found.n_wins_base, found.n_draws) == (3, 1, 2)
    assert found.win_rate == pytest.approx(100 * (0 + 1 + 1 + 0.5 + 0.5 + 0.9) / 6)
    assert found.discrete_win_rate == pytest.approx(100 * 4 / 6)
    assert found.standard_error == pytest.approx(
        100 * np.std([0, 1, 1, 0.5, 0.5, 0.9], ddof=1) / 6**0.5
    )
    assert win_rate([None]).win_rate is None


def test_a_baseline_against_itself_is_even() -> None:
    rows = [
        annotation(n, 1.5, generator_2="baseline", output_2="x", output_1="x") for n in range(9)
    ]
    found = leaderboard_entries(rows)[0]
    assert (found.rate.win_rate, found.rate.standard_error, found.rate.n_draws) == (50, 0, 9)
    assert found.controlled is not None
    assert found.controlled.win_rate == pytest.approx(50)


def test_annotations_become_scores() -> None:
    rows = [annotation(1, 1.25), annotation(2, None), annotation(3, 2, annotator=None)]
    found = list(annotation_scores(rows))
    for row in found:
        assert schema("score").is_valid(row)
    assert [(row["value"], row["status"]) for row in found] == [
        (0.25, "scored"), (None, "unparseable"), (1.0, "scored"),
    ]  # fmt: skip
    assert found[0] == {
        "id": found[0]["id"], "model": "model", "benchmark": "alpaca_eval", "sample": 0,
        "metric": "win", "value": 0.25, "status": "scored", "judge": "a judge",
        "root": found[0]["id"], "against": "baseline", "length": 3,
    }  # fmt: skip
    assert len({row["id"] for row in found}) == 3


def test_several_models_in_one_file_have_an_entry_each() -> None:
    rows = [annotation(n, 1 + n % 2, generator_2=f"m{n % 3}") for n in range(12)]
    found = leaderboard_entries(rows)
    assert [(each.model, each.rate.n_total) for each in found] == [("m0", 4), ("m1", 4), ("m2", 4)]


def test_a_preference_counts_if_an_answer_is_missing() -> None:
    rows = [annotation(n, 1 + n % 2) for n in range(12)]
    complete = leaderboard_entries(rows)[0]
    rows[4] |= {"output_2": None}
    del rows[7]["output_1"]
    found = leaderboard_entries(rows)[0]
    assert found.rate == complete.rate
    assert "length" not in list(annotation_scores(rows))[4]
    assert found.controlled is not None
    assert leaderboard_entries([{**row, "output_1": None} for row in rows])[0].controlled is None
    (bare,) = leaderboard_entries({**row, "output_2": None} for row in rows)
    assert (bare.length, bare.controlled) == (None, None)


def test_a_row_that_is_not_an_annotation_is_refused_with_its_field() -> None:
    assert not is_annotation({"instruction": "x", "output": "y"})
    for row, field in ((annotation(1, 1, generator_2=None), "generator_2"), ("text", "")):
        with pytest.raises(RowError) as caught:
            leaderboard_entries([row])
        assert caught.value.field == field


# The regression.


def test_a_fit_on_probabilities_equals_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 3))
    targets = logistic(rows @ [1.0, -2.0, 0.3] + rng.normal(size=300))
    weights = rng.choice([0.1, 1.0], 300)
    fit = sm.GLM(targets, rows, sm.families.Binomial(), freq_weights=weights).fit(tol=1e-12)
    assert fit_logistic(rows, targets, weights) == pytest.approx(fit.params, abs=1e-6)


def test_a_lasso_fit_is_the_minimum() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200, 3))
    targets = logistic(rows @ [1.0, 0.02, -0.5])

    def loss(coefficients: Any, penalty: float) -> float:
        logits = rows @ coefficients
        log_loss = np.sum(np.logaddexp(0, logits) - targets * logits)
        return float(log_loss + penalty * np.abs(coefficients).sum())

    for penalty in (0.1, 3.0, 30.0, 1e4):
        found = fit_logistic(rows, targets, penalty=penalty)
        best = min(
            optimize.minimize(loss, start, (penalty,), method="Powell", tol=1e-12).fun
            for start in (np.zeros(3), np.ones(3))
        )
        assert loss(found, penalty) <= best + 1e-7
        gradient = rows.T @ (logistic(rows @ found) - targets)
        for k in range(3):  # the conditions of a minimum
            if found[k]:
                assert gradient[k] == pytest.approx(-penalty * np.sign(found[k]), abs=1e-5)
            else:
                assert abs(gradient[k]) <= penalty + 1e-6
    assert not fit_logistic(rows, targets, penalty=1e4).any()


def test_separable_rows_have_finite_coefficients() -> None:
    rows = np.array([[1.0, 1.0], [1.0, -1.0]] * 5)
    found = fit_logistic(rows, (rows[:, 1] > 0).astype(float))
    assert np.isfinite(found).all()


# The length-controlled win rate.


def test_with_the_reference_the_rate_is_at_equal_length() -> None:
    rows, reference, truth = short_model()
    raw = win_rate([row.preference for row in rows]).win_rate
    found = length_controlled_win_rate(rows, reference)
    assert found.complete
    assert found.win_rate == pytest.approx(truth, abs=0.3)
    assert abs(raw - truth) > 15
    assert (found.length, found.difficulty, found.model) == (
        pytest.approx(-1.5, abs=0.05), pytest.approx(0.8, abs=0.03), pytest.approx(-0.4, abs=0.05),
    )  # fmt: skip


def test_unjudged_rows_keep_their_position() -> None:
    rows, reference, truth = short_model()
    for k in range(0, 300, 10):
        rows[k] = JudgedPair(None, rows[k].baseline_length, rows[k].model_length)
    assert length_controlled_win_rate(rows, reference).win_rate == pytest.approx(truth, abs=0.3)
    with pytest.raises(SeqitError, match="300 instructions and the model's file 299 rows"):
        length_controlled_win_rate(rows[1:], reference)
    with pytest.raises(SeqitError, match="no row has two answers and a preference"):
        length_controlled_win_rate([JudgedPair(None, 1, 2)])


def test_without_the_reference_the_result_is_not_complete() -> None:
    rows, _, _ = short_model()
    found = length_controlled_win_rate(rows)
    assert (found.complete, found.standard_error, found.difficulty) == (False, None, 0)


def test_the_published_procedure_equals_scikit_learn() -> None:
    rows, reference, _ = short_model(seed=5)
    rng = np.random.default_rng(6)
    rows = [row._replace(preference=1.0 + float(rng.random() < row.preference - 1)) for row in rows]
    found = length_controlled_win_rate(rows, reference)
    # LogisticRegressionCV(cv=GroupKFold(5), penalty="l1", solver="liblinear", tol=1e-8,
    # fit_intercept=False) of scikit-learn 1.9.1 on every row twice, with labels 1 and 0 weighted
    # by their probabilities, scored by log loss; it chose C = 2.7825594.
    assert [found.length, found.difficulty, found.model] == pytest.approx(
        [-1.74445301, 0.87517818, -0.06964954], abs=1e-6
    )
    assert found.win_rate == pytest.approx(47.58509443, abs=1e-5)


def test_the_reference_is_read_from_the_published_columns(tmp_path: Path) -> None:
    _, reference, _ = short_model(20)
    found = read_reference(write_reference(tmp_path / "df_gamed.csv", reference))
    assert found.difficulty == pytest.approx(reference.difficulty)
    assert found.variants == pytest.approx(reference.variants)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "the column index is missing"),
        ("index,preference,std_delta_len,instruction_difficulty\n", "every number from 0"),
        ("index,preference,std_delta_len,instruction_difficulty\n0,1,x,0\n", "line 2: expected"),
        ("index,preference,std_delta_len,instruction_difficulty\n1,1,0,0\n", "every number from 0"),
        ("index,preference,std_delta_len,instruction_difficulty\n0,1,nan,0\n", "must be numbers"),
    ],
)
def test_an_invalid_reference_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text(text)
    with pytest.raises(SeqitError, match=message):
        read_reference(str(path))


# The published files.


@pytest.fixture(scope="module")
def leaderboard() -> dict[str, dict[str, str]]:
    with (FOLDER / "leaderboard.csv").open(newline="") as file:
        return {row[""]: row for row in csv.DictReader(file)}


@pytest.mark.skipif(not MODELS, reason="the published annotations are missing")
@pytest.mark.parametrize("model", MODELS)
def test_entries_equal_the_published_leaderboard(
    model: str, leaderboard: dict[str, dict[str, str]]
) -> None:
    rows = json.loads((FOLDER / model / "annotations.json").read_bytes())
    (found,) = leaderboard_entries(rows)
    published = leaderboard[model]
    rate = found.rate
    assert found.model == model
    assert rate.win_rate == pytest.approx(float(published["win_rate"]), abs=1e-9)
    assert rate.standard_error == pytest.approx(float(published["standard_error"]), abs=1e-9)
    for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
        assert getattr(rate, name) == int(published[name])
    assert rate.discrete_win_rate == pytest.approx(float(published["discrete_win_rate"]))
    assert int(found.length) == int(published["avg_length"])
    assert found.controlled is not None
    assert not found.controlled.complete  # the annotations alone do not give the published one
