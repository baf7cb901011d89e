"""XQuAD's measures beside a trusted implementation of SQuAD's, that of torchmetrics."""

import pytest

squad = pytest.importorskip(
    "torchmetrics.functional.text.squad", reason="bin/test runs this in .venv-train"
)

from support.answer_pairs import pairs  # noqa: E402

from seqit.evaluate.metrics.xquad import exact_match, f1, squad_tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_both_give_the_same_on_generated_pairs():
    compared = 0
    for said, right in pairs(7, 12_000):
        # Where nothing is left of the right answer its F1 is that of SQuAD 2.0, 1 and not 0.
        if said.strip() and squad_tokens(right):
            compared += 1
            exact = float(squad._compute_exact_match_score(said, right))
            overlap = float(squad._compute_f1_score(said, right))
            assert exact_match(said, right) == exact
            assert f1(said, right) == pytest.approx(overlap, abs=1e-6)
    assert compared > 10_000
