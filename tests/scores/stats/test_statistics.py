"""Statistics of scores against scipy and statsmodels, and coverage of intervals by simulation."""

import math
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.score_rows import score

from seqit.errors import SeqitError, UsageError
from seqit.scores.compare import CompareOptions, compare
from seqit.scores.db.database import Database
from seqit.scores.stats.agreement import cohen_kappa, krippendorff_alpha
from seqit.scores.stats.interval import Estimate, RootSums, estimate, mean_interval
from seqit.scores.stats.length_adjusted import ScoredAnswer, adjust_for_length
from seqit.scores.stats.paired import PairedComparison, mcnemar, permutation_test
from seqit.scores.stats.power import items_needed, smallest_difference
from seqit.scores.stats.quantiles import binomial_two_sided, t_quantile, t_tail
from seqit.scores.stats.runs import RootScores

np = pytest.importorskip("numpy")


def clustered(seed: int, roots: int = 40, binary: bool = False) -> tuple[list[float], list[int]]:
    """Return values and their roots: 1 to 5 values per root, correlated within a root."""
    rng = random.Random(seed)
    values, root_of = [], []
    for root in range(roots):
        common = rng.gauss(0, 1)
        for _ in range(rng.randint(1, 5)):
            value = common + rng.gauss(0, 1)
            values.append(float(value > 0) if binary else value)
            root_of.append(root)
    return values, root_of


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 30, 500, 100_000])
def test_students_t_equals_scipy(degrees: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for p in (0.55, 0.9, 0.975, 0.9995):
        assert t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), rel=1e-8)
    for t in (-4.0, 0.0, 0.1, 1.0, 2.5, 30.0):
        assert t_tail(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-8)


@pytest.mark.parametrize("split", [(0, 1), (3, 9), (50, 100), (40, 1000), (900, 2000), (7, 1500)])
def test_binomial_p_values_equal_scipy(split: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert binomial_two_sided(*split) == pytest.approx(stats.binomtest(*split).pvalue, rel=1e-8)


def test_a_mean_of_independent_values_has_the_t_interval() -> None:
    stats = pytest.importorskip("scipy.stats")
    values, _ = clustered(1)
    found = mean_interval(values)
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
    assert found == Estimate(
        len(values), 0, len(values), *map(pytest.approx, (np.mean(values), error, low, high))
    )


@pytest.mark.parametrize("binary", [False, True])
def test_a_clustered_error_equals_statsmodels(binary: bool) -> None:
    sm = pytest.importorskip("statsmodels.api")
    values, roots = clustered(2, binary=binary)
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(roots)}, use_t=True
    )
    found = mean_interval(values, roots)
    assert (found.mean, found.error) == (pytest.approx(fit.params[0]), pytest.approx(fit.bse[0]))
    if not binary:
        assert (found.low, found.high) == tuple(map(pytest.approx, fit.conf_int()[0]))


def test_shares_have_wilson_intervals() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    values = [1.0] * 4300 + [0.0] * 700
    low, high = proportion.proportion_confint(4300, 5000, method="wilson")
    found = mean_interval(values)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_a_share_of_0_or_1_has_an_interval_too() -> None:
    all_correct = mean_interval([1.0] * 50)
    assert (all_correct.mean, all_correct.error, all_correct.high) == (1, 0, 1)
    assert all_correct.low == pytest.approx(0.925, abs=0.005)
    # Ten roots of five equal values each count as ten values.
    few = mean_interval([0.0] * 50, [n // 5 for n in range(50)])
    assert few.low == 0
    assert few.high == pytest.approx(0.338, abs=0.005)


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5), st.just(math.nan)), max_size=30))
def test_missing_values_are_counted_and_left_out(values: list[float | None]) -> None:
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    roots = [n % 4 for n in range(len(values))]
    found = mean_interval(values, roots)
    assert (found.n, found.missing) == (len(numbers), len(values) - len(numbers))
    kept = [r for r, v in zip(roots, values, strict=True) if v is not None and not math.isnan(v)]
    assert found == replace(mean_interval(numbers, kept), missing=found.missing)


def test_too_few_values_have_no_interval() -> None:
    assert mean_interval([]) == Estimate(0, 0, 0, runs=0)
    assert mean_interval([None, None]) == Estimate(0, 2, 0, runs=0)
    assert mean_interval([3.0]) == Estimate(1, 0, 1, 3.0)
    assert mean_interval([3.0, 4.0], ["same", "same"]) == Estimate(2, 0, 1, 3.5)
    with pytest.raises(SeqitError, match="2 values have 1 roots"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(SeqitError, match="not a kind of interval"):
        mean_interval([1.0, 2.0], method="guess")


def test_the_bootstrap_resamples_roots() -> None:
    values, roots = clustered(3, roots=300)
    analytic = mean_interval(values, roots)
    found = mean_interval(values, roots, method="bootstrap", seed=5)
    assert found == mean_interval(values, roots, method="bootstrap", seed=5)
    assert found != mean_interval(values, roots, method="bootstrap", seed=6)
    assert found.low == pytest.approx(analytic.low, abs=0.1 * analytic.error)
    assert found.high == pytest.approx(analytic.high, abs=0.1 * analytic.error)
    alone = mean_interval(values, method="bootstrap")
    assert alone.high - alone.low < 0.8 * (found.high - found.low)


# Coverage: a 95 % interval contains the true mean in 95 of 100 simulations.

Sampler = Callable[[Any], tuple[list[float], list[int] | None]]


def normal(rng: Any) -> tuple[list[float], list[int] | None]:
    return list(rng.normal(0.5, 1, 60)), None


def shares(p: float, n: int) -> Sampler:
    return lambda rng: (list((rng.random(n) < p).astype(float)), None)


def chains(rng: Any) -> tuple[list[float], list[int] | None]:
    """Four items per root, with half of the variance between roots; the mean is 0.5."""
    common = np.repeat(rng.normal(0, 1, 80), 4)
    return list(0.5 + common + rng.normal(0, 1, 320)), list(np.repeat(np.arange(80), 4))


def clustered_shares(rng: Any) -> tuple[list[float], list[int] | None]:
    """0 or 1 with a probability per root, in roots of 1 to 5 items; the mean is 0.5."""
    sizes = rng.integers(1, 6, 120)
    probabilities = np.repeat(rng.beta(1, 1, 120), sizes)
    values = (rng.random(len(probabilities)) < probabilities).astype(float)
    return list(values), list(np.repeat(np.arange(120), sizes))


POPULATIONS: dict[str, tuple[Sampler, float]] = {
    "normal": (normal, 0.5),
    "shares": (shares(0.7, 200), 0.7),
    "high shares": (shares(0.95, 805), 0.95),
    "chains": (chains, 0.5),
    "clustered shares": (clustered_shares, 0.5),
}


def coverage(population: str, times: int, method: str = "analytic") -> float:
    """Return the share of simulations whose interval contains the true mean."""
    sample, truth = POPULATIONS[population]
    rng = np.random.default_rng(20250101)
    covered = 0
    for _ in range(times):
        found = mean_interval(*sample(rng), method=method)
        covered += found.low <= truth <= found.high
    return covered / times


@pytest.mark.parametrize("population", POPULATIONS)
def test_intervals_contain_the_true_mean(population: str) -> None:
    assert coverage(population, 400) == pytest.approx(0.95, abs=0.035)  # three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("population", POPULATIONS)
def test_intervals_contain_the_true_mean_in_95_of_100_simulations(population: str) -> None:
    assert coverage(population, 10_000) == pytest.approx(0.95, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("population", ["chains", "clustered shares"])
def test_bootstrap_intervals_contain_the_true_mean(population: str) -> None:
    assert coverage(population, 3000, "bootstrap") == pytest.approx(0.95, abs=0.012)


def test_intervals_that_ignore_roots_are_too_narrow() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        values, _ = chains(rng)
        found = mean_interval(values)
        covered += found.low <= 0.5 <= found.high
    assert covered / 300 < 0.85


# Several runs of a model, all on the same roots.


def crossed(
    rng: Any, runs: int, run_sd: float, *, root_sd: float = 1.0, roots: int = 200
) -> tuple[list[float], list[int], list[int]]:
    """One value per root and run with mean 0: root effect + run effect + residual."""
    table = rng.normal(0, root_sd, (roots, 1)) + rng.normal(0, run_sd, runs)
    table = table + rng.normal(0, 1, (roots, runs))
    return list(table.ravel()), [k // runs for k in range(roots * runs)], list(range(runs)) * roots


@pytest.mark.parametrize("binary", [False, True])
def test_an_error_over_runs_equals_statsmodels(binary: bool) -> None:
    sm = pytest.importorskip("statsmodels.api")
    values, roots, runs = crossed(np.random.default_rng(3), 4, 0.4)
    kept = [k for k in range(len(values)) if k % 7]  # no root has all runs
    values = [float(values[k] > 0) if binary else values[k] for k in kept]
    roots, runs = [roots[k] for k in kept], [runs[k] for k in kept]
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.column_stack([roots, runs])}
    )
    found = mean_interval(values, roots, runs)
    assert (found.n, found.roots, found.runs) == (len(values), 200, 4)
    assert (found.mean, found.error) == (pytest.approx(fit.params[0]), pytest.approx(fit.bse[0]))
    if binary:
        assert 0 < found.low < found.mean < found.high < 1
    else:
        half = t_quantile(0.975, found.degrees) * found.error
        assert (found.low, found.high) == (found.mean - half, found.mean + half)


def test_a_single_run_has_no_effect() -> None:
    values, roots = clustered(2)
    for method in ("analytic", "bootstrap"):
        alone = mean_interval(values, roots, method=method)
        assert mean_interval(values, roots, ["run"] * len(values), method=method) == alone


def test_degrees_of_freedom_are_of_runs_if_these_differ_and_of_roots_if_not() -> None:
    values, roots, runs = crossed(np.random.default_rng(4), 3, 5.0)
    apart = mean_interval(values, roots, runs)
    assert apart.degrees == pytest.approx(2, abs=0.1)
    assert apart.error == pytest.approx(np.std([np.mean(values[k::3]) for k in range(3)], ddof=1)
                                        / math.sqrt(3), rel=0.02)  # fmt: skip
    alike = [values[3 * (k // 3)] for k in range(len(values))]
    found, alone = mean_interval(alike, roots, runs), mean_interval(alike, roots)
    assert (found.mean, found.error) == (alone.mean, alone.error)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=1e-3)
    assert mean_interval(values, ["one root"] * len(values), runs).low is None
    with pytest.raises(SeqitError, match="600 values have 2 runs"):
        mean_interval(values, roots, [1, 2])


def test_the_bootstrap_resamples_runs_too() -> None:
    values, roots, runs = crossed(np.random.default_rng(5), 30, 0.5)
    analytic = mean_interval(values, roots, runs)
    found = mean_interval(values, roots, runs, method="bootstrap", seed=1)
    assert found == mean_interval(values, roots, runs, method="bootstrap", seed=1)
    assert found.high - found.low == pytest.approx(analytic.high - analytic.low, rel=0.1)
    alone = mean_interval(values, roots, method="bootstrap")
    assert alone.high - alone.low < 0.8 * (found.high - found.low)


def coverage_of_zero(estimate_once: Callable[[], Estimate], times: int) -> float:
    estimates = [estimate_once() for _ in range(times)]
    return sum(each.low <= 0 <= each.high for each in estimates) / times


RUN_SDS = (0.0, 0.05, 0.15, 0.5)
"""Standard deviations between runs; single values have 1, and the mean over 200 roots 0.08."""


def test_intervals_over_three_runs_contain_the_true_mean() -> None:
    rng = np.random.default_rng(6)
    assert 0.92 < coverage_of_zero(lambda: mean_interval(*crossed(rng, 3, 0.15)), 300) < 0.98
    without_runs = lambda: mean_interval(*crossed(rng, 3, 0.15)[:2])  # noqa: E731
    assert coverage_of_zero(without_runs, 300) < 0.88


@pytest.mark.slow
@pytest.mark.parametrize("run_sd", RUN_SDS)
def test_intervals_over_runs_contain_the_true_mean_in_95_of_100(run_sd: float) -> None:
    rng = np.random.default_rng(7)
    covered = coverage_of_zero(lambda: mean_interval(*crossed(rng, 3, run_sd)), 1500)
    assert 0.925 < covered < 0.98


def simulated_difference(rng: Any, runs: tuple[int, int], run_sd: float) -> Estimate:
    """Return the difference of two equally good models with the same items and different runs."""
    root_effects = rng.normal(0, 1, 200)
    tables = []
    for count in runs:
        values, _, _ = crossed(rng, count, run_sd, root_sd=0.5)
        tables.append(np.array(values).reshape(200, count) + root_effects[:, None])
    differences = tables[1].mean(axis=1) - tables[0].mean(axis=1)
    arms = [
        [RootScores(root, run, 1 / count, value / count)
         for (root, run), value in np.ndenumerate(table)]
        for count, table in zip(runs, tables, strict=True)
    ]  # fmt: skip
    return estimate(RootSums([1.0] * 200, list(differences), 0, False, arms))


def test_a_difference_over_runs_has_the_error_of_an_analysis_of_variance() -> None:
    """Items are common: var(differences) / roots + for each model (MS_run - MS) / values."""
    rng = np.random.default_rng(8)
    found = simulated_difference(rng, (3, 4), 0.5)
    assert (found.runs, found.roots) == (7, 200)
    assert 2 <= found.degrees < 199
    rng = np.random.default_rng(8)
    root_effects, expected, means = rng.normal(0, 1, 200), 0.0, []
    for count in (3, 4):
        values, _, _ = crossed(rng, count, 0.5, root_sd=0.5)
        table = np.array(values).reshape(200, count) + root_effects[:, None]
        residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        noise = (residuals**2).sum() / (199 * (count - 1))
        expected += (200 * table.mean(axis=0).var(ddof=1) - noise) / (200 * count)
        means.append(table.mean(axis=1))
    expected += (means[1] - means[0]).var(ddof=1) / 200
    assert found.error == pytest.approx(math.sqrt(expected))
    assert found.mean == pytest.approx((means[1] - means[0]).mean())


@pytest.mark.slow
@pytest.mark.parametrize("run_sd", RUN_SDS)
def test_differences_over_runs_contain_the_true_mean_in_95_of_100(run_sd: float) -> None:
    rng = np.random.default_rng(9)
    covered = coverage_of_zero(lambda: simulated_difference(rng, (3, 3), run_sd), 1500)
    assert 0.925 < covered < 0.99


# Two models on the same items.

Scores = Mapping[Any, float | None]
"""Score by item; None for a failed one."""


@pytest.fixture
def compare_models(tmp_path: Path) -> Callable[..., PairedComparison]:
    """Return a function that compares the scores of two models as seqit compare does."""

    def compare_two(
        first: Scores, other: Scores, roots: Mapping[Any, Any] | None = None, **options: Any
    ) -> PairedComparison:
        rows = [
            score(
                model=model,
                id=f"{item}",
                root=f"{roots[item] if roots else item}",
                value=value,
                status="failed" if value is None else "scored",
            )
            for model, scores in (("first", first), ("other", other))
            for item, value in scores.items()
        ]
        path = tmp_path / "scores.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        with Database([str(path)]) as database:
            found = compare(database, options=CompareOptions(**options))
        (task,) = found.tasks
        paired = found.results["other", task].paired
        assert paired is not None
        return paired

    return compare_two


def two_models(seed: int, n: int = 60) -> tuple[dict[int, float], dict[int, float]]:
    rng = random.Random(seed)
    first = {k: float(rng.random() < 0.5) for k in range(n)}
    other = {k: float(rng.random() < (0.8 if first[k] else 0.5)) for k in range(n)}
    return first, other


def test_shares_on_the_same_items_are_compared_by_mcnemar(
    compare_models: Callable[..., PairedComparison],
) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    first, other = two_models(4)
    gained = sum(other[k] > first[k] for k in first)
    lost = sum(other[k] < first[k] for k in first)
    found = compare_models(first, other)
    expected = tables.mcnemar([[0, gained], [lost, 0]], exact=True).pvalue
    assert (found.test, found.p) == ("mcnemar", pytest.approx(expected))
    assert found.difference.mean == pytest.approx((gained - lost) / 60)
    assert mcnemar(0, 0) == 1


def test_a_permutation_test_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = random.Random(7)
    for size in (8, 12):
        differences = [rng.gauss(0.5, 1) for _ in range(size)]
        exact = stats.permutation_test(
            (differences, [0.0] * size), lambda a, b: np.mean(np.subtract(a, b)),
            permutation_type="samples", vectorized=False, n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert permutation_test(differences) == pytest.approx(exact)
    differences = [rng.gauss(0.2, 1) for _ in range(100)]
    sampled = permutation_test(differences, seed=1)
    assert sampled == permutation_test(differences, seed=1)
    assert sampled == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.015)
    assert permutation_test([]) == permutation_test([0.0, 0.0]) == 1


def test_a_clustered_difference_is_tested_by_t(
    compare_models: Callable[..., PairedComparison],
) -> None:
    sm = pytest.importorskip("statsmodels.api")
    differences, roots = clustered(8)
    first = dict.fromkeys(range(len(differences)), 0.0)
    other, root_of = dict(enumerate(differences)), dict(enumerate(roots))
    found = compare_models(first, other, root_of)
    fit = sm.OLS(differences, np.ones(len(differences))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(roots)}, use_t=True
    )
    assert (found.test, found.p) == ("t", pytest.approx(fit.pvalues[0]))
    assert found.difference.low == pytest.approx(fit.conf_int()[0][0])
    permuted = compare_models(first, other, root_of, test="permutation")
    assert permuted.p == pytest.approx(found.p, abs=0.03)


def test_pairs_without_two_numbers_are_counted(
    compare_models: Callable[..., PairedComparison],
) -> None:
    first = {"a": 1.0, "b": None, "c": 0.0, "d": 1.0, "x": 1.0}
    other = {"a": 0.0, "b": 1.0, "c": None, "d": 1.0, "y": 0.0, "z": 0.0}
    found = compare_models(first, other)
    assert (found.difference.n, found.difference.missing, found.alone) == (2, 2, 3)
    assert found.difference.mean == -0.5
    nothing = compare_models({"a": None}, {"a": 1.0})
    assert (nothing.difference.n, nothing.p) == (0, None)


def test_a_test_that_does_not_apply_is_refused(
    compare_models: Callable[..., PairedComparison],
) -> None:
    with pytest.raises(SeqitError, match="McNemar's test needs scores of 0 or 1"):
        compare_models({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}, test="mcnemar")
    with pytest.raises(SeqitError, match="'z' is not a test"):
        compare_models({"a": 1.0}, {"a": 1.0}, test="z")


def test_without_numpy_only_what_needs_it_fails(
    compare_models: Callable[..., PairedComparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    first, other = two_models(4)
    assert compare_models(first, other).p is not None
    assert compare_models(first, other, test="t").difference.high is not None
    for options in ({"interval": "bootstrap"}, {"test": "permutation"}):
        with pytest.raises(SeqitError, match=r"pip install 'seqit\[stats\]'"):
            compare_models(first, other, **options)


def test_equal_models_do_not_differ(compare_models: Callable[..., PairedComparison]) -> None:
    scores = {k: k % 3 / 2 for k in range(30)}
    found = compare_models(scores, scores)
    assert (found.difference.mean, found.difference.error, found.p) == (0, 0, 1)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohens_kappa_equals_statsmodels(weights: Any) -> None:
    rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = random.Random(9)
    first = [rng.randint(1, 5) for _ in range(200)]
    other = [min(5, max(1, value + rng.choice((-1, 0, 0, 1)))) for value in first]
    table, _ = rater.to_table(np.array([first, other]).T, bins=np.arange(0.5, 6))
    kind = None if weights == "none" else weights
    expected = rater.cohens_kappa(table, wt=kind, return_results=False)
    assert cohen_kappa(first, other, weights) == pytest.approx(float(expected))


def test_kappa_needs_different_ratings() -> None:
    assert cohen_kappa([1, 1], [1, 1]) is None
    assert cohen_kappa([1, None], [None, 1]) is None
    assert cohen_kappa([1, 0, None], [1, 0, 1]) == 1
    with pytest.raises(SeqitError, match="2 and 1 items"):
        cohen_kappa([1, 0], [1])


# Krippendorff's own example, Computing Krippendorff's Alpha-Reliability (2011), section E.
UNITS = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1],
    [None, 3, None, None],
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_krippendorffs_alpha_equals_his_example(level: Any, alpha: float) -> None:
    assert krippendorff_alpha(UNITS, level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_needs_different_ratings() -> None:
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([[1], [None, 2]]) is None
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None


def test_power_equals_statsmodels() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    for effect, wanted in ((0.1, 0.8), (0.3, 0.9)):
        expected = power.NormalIndPower(ddof=0).solve_power(
            effect, power=wanted, alpha=0.05, ratio=0
        )
        assert items_needed(effect, 1.0, power=wanted) == math.ceil(expected)
        by_t = power.TTestPower().solve_power(effect, power=wanted, alpha=0.05)
        assert items_needed(effect, 1.0, power=wanted) == pytest.approx(by_t, abs=3)


def answers(both: int, first: int, other: int, neither: int) -> tuple[Scores, Scores]:
    """Return the scores of two models, by the number of items that they answer correctly."""
    pairs = [(1.0, 1.0)] * both + [(1.0, 0.0)] * first + [(0.0, 1.0)] * other
    pairs += [(0.0, 0.0)] * neither
    return dict(enumerate(one for one, _ in pairs)), dict(enumerate(two for _, two in pairs))


def test_items_needed_and_smallest_difference_are_inverse(
    compare_models: Callable[..., PairedComparison],
) -> None:
    # Shares of 0.6 and 0.65; answers are independent, then correlated by 0.5.
    independent = compare_models(*answers(39, 21, 26, 14)).difference
    correlated = compare_models(*answers(51, 9, 14, 26)).difference
    deviation, smaller = (each.error * each.n**0.5 for each in (independent, correlated))
    assert independent.mean == correlated.mean == pytest.approx(0.05)
    variances = 0.6 * 0.4 + 0.65 * 0.35, 0.6 * 0.4 + 0.65 * 0.35 - 2 * (0.51 - 0.6 * 0.65)
    assert (deviation**2, smaller**2) == tuple(pytest.approx(v * 100 / 99) for v in variances)
    items = items_needed(0.05, deviation)
    assert smallest_difference(items, deviation) == pytest.approx(0.05, rel=1e-3)
    assert items_needed(0.05, smaller) < 0.6 * items
    with pytest.raises(UsageError, match="a difference of 0"):
        items_needed(0, 1)
    with pytest.raises(UsageError, match="probabilities"):
        items_needed(1, 1, power=1.5)


def test_the_items_needed_have_the_given_power() -> None:
    rng = np.random.default_rng(3)
    items = items_needed(0.3, 1.0)
    differences = rng.normal(0.3, 1.0, (600, items))
    errors = differences.std(axis=1, ddof=1) / items**0.5
    significant = np.abs(differences.mean(axis=1)) > t_quantile(0.975, items - 1) * errors
    assert significant.mean() == pytest.approx(0.8, abs=0.05)


def test_scores_at_equal_length_equal_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = random.Random(11)
    scores: dict[str, list[ScoredAnswer]] = {}
    for place, model in enumerate(("it", "sit")):
        for root in range(50):
            length = rng.randint(20, 60) * (1 + place)
            value = 0.5 * math.log1p(length) + 0.2 * place + rng.gauss(0, 0.3)
            scores.setdefault(model, []).append(ScoredAnswer(value, length, root))
    scores["it"].append(ScoredAnswer(None, 5, 3))
    found = adjust_for_length(scores)
    rows = [(m, each) for m, own in scores.items() for each in own if each.value is not None]
    lengths = np.log1p([each.length for _, each in rows])
    table = np.array([[m == "it", m == "sit", 0] for m, _ in rows], float)
    table[:, 2] = lengths - lengths.mean()
    groups = np.array([each.root for _, each in rows])
    fit = sm.OLS([each.value for _, each in rows], table).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    assert (found.slope, found.slope_error) == (
        pytest.approx(fit.params[2]),
        pytest.approx(fit.bse[2]),
    )
    for place, model in enumerate(("it", "sit")):
        own = found.models[model]
        assert (own.adjusted, own.error) == (
            pytest.approx(fit.params[place]),
            pytest.approx(fit.bse[place]),
        )
        assert (own.low, own.high) == tuple(map(pytest.approx, fit.conf_int()[place]))
    raw = found.models["sit"].mean - found.models["it"].mean
    lead = found.models["sit"].adjusted - found.models["it"].adjusted
    assert raw > 0.45
    assert lead == pytest.approx(0.2, abs=0.15)


def test_a_slope_that_cannot_be_estimated_is_refused() -> None:
    same = [ScoredAnswer(3.0, 10, root) for root in range(5)]
    with pytest.raises(SeqitError, match="answers of different lengths"):
        adjust_for_length({"it": same})
    with pytest.raises(SeqitError, match="sit has no score"):
        adjust_for_length({"it": same, "sit": [ScoredAnswer(None, 3, 1)]})
