"""XQuAD's metrics, compared with the SQuAD implementation of torchmetrics."""

import pytest

squad = pytest.importorskip(
    "torchmetrics.functional.text.squad", reason="bin/test runs this in .venv-train"
)

from support.answer_pairs import answer_pairs  # noqa: E402

from seqit.evaluate.metrics.xquad import exact_match, f1, squad_tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_both_give_the_same_values_on_random_pairs():
    compared = 0
    for prediction, reference in answer_pairs(7, 12_000):
        # If the reference has no tokens, torchmetrics gives the F1 of SQuAD 2.0, 1 instead of 0.
        if prediction.strip() and squad_tokens(reference):
            compared += 1
            exact = float(squad._compute_exact_match_score(prediction, reference))
            overlap = float(squad._compute_f1_score(prediction, reference))
            assert exact_match(prediction, reference) == exact
            assert f1(prediction, reference) == pytest.approx(overlap, abs=1e-6)
    assert compared > 10_000
