"""Metrics, compared with scikit-learn, scipy, closed forms and simulations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from natfp_bench.base.records import canonical_json
from natfp_bench.statistics import intervals, metrics, paired, per_text


def planted(n: int, k: int, seed: int = 0, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities without ties that are higher for the truth on average."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), truth] += sharpness
    proba = np.exp(logits)
    return proba / proba.sum(1, keepdims=True), truth


@pytest.mark.parametrize("k", [2, 3, 7])
def test_agrees_with_scikit_learn(k: int) -> None:
    proba, truth = planted(301, k)
    guess, labels = proba.argmax(1), range(k)
    matrix = per_text.confusion(proba, truth)
    assert np.array_equal(matrix, sklearn.metrics.confusion_matrix(truth, guess, labels=labels))
    assert per_text.credits(proba, truth).mean() == pytest.approx(sklearn.metrics.accuracy_score(truth, guess))
    f1 = sklearn.metrics.f1_score(truth, guess, average="macro", labels=labels, zero_division=0)
    assert float(per_text.macro_f1(matrix)) == pytest.approx(f1)
    mixed = 0.999 * proba + 0.001 / k
    assert per_text.mixed(proba) == pytest.approx(mixed, rel=1e-14)
    assert per_text.log_loss(proba, truth).mean() == pytest.approx(sklearn.metrics.log_loss(truth, mixed))
    assert per_text.bits(proba, truth) == pytest.approx(np.log2(k * mixed[np.arange(301), truth]), abs=1e-12)


def test_macro_f1_of_an_absent_class_is_zero_and_batches() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    matrix = per_text.confusion(np.eye(3)[guess], truth)
    expected = sklearn.metrics.f1_score(truth, guess, average="macro", labels=[0, 1, 2], zero_division=0)
    assert float(per_text.macro_f1(matrix)) == pytest.approx(expected)
    assert per_text.macro_f1(np.stack([matrix, np.diag([1.0, 2, 3])])) == pytest.approx([expected, 1.0])


def test_exact_ties_share_credit() -> None:
    proba = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [1 / 3] * 3, [0.2, 0.3, 0.5]])
    truth = np.array([0, 2, 1, 2])
    assert per_text.credits(proba, truth).tolist() == [0.5, 0.0, 1 / 3, 1.0]
    matrix = per_text.confusion(proba, truth)
    assert matrix.tolist() == [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 1.0]]
    assert np.trace(matrix) == pytest.approx(per_text.credits(proba, truth).sum())


@settings(deadline=None)
@given(st.integers(2, 300))
def test_a_uniform_row_has_exactly_zero_bits(k: int) -> None:
    uniform, truth = np.full((k, k), 1.0 / k), np.arange(k)
    assert np.array_equal(per_text.mixed(uniform), uniform)
    assert not per_text.bits(uniform, truth).any()
    assert per_text.log_loss(uniform, truth) == pytest.approx(np.full(k, math.log(k)))


def test_a_confident_error_has_a_finite_cost() -> None:
    proba = np.array([[1.0, 0.0], [1.0, 0.0]])
    right, wrong = per_text.bits(proba, np.array([0, 1]))
    assert right == pytest.approx(math.log2(2 * 0.9995))
    assert wrong == pytest.approx(math.log2(2 * 0.0005))


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6, 7, 9, 10, 49])
@pytest.mark.parametrize("n_prompts", [30, 7])
def test_a_constant_answer_scores_exactly_chance(k: int, n_prompts: int) -> None:
    n = 101
    result = metrics.score(np.full((n, k), 1.0 / k), np.arange(n) % k, np.arange(n) % n_prompts, seed=1)
    accuracy = result["accuracy"]
    assert abs(accuracy.value - 1 / k) <= (0 if k in (2, 4) else math.ulp(1 / k))
    assert accuracy.low == accuracy.high == accuracy.value
    assert abs(result["identifiability"].value) < 1e-15
    assert result["bits"].model_dump() == {
        "value": 0.0, "low": 0.0, "high": 0.0, "method": "bootstrap", "units": "prompts", "n_units": n_prompts
    }  # fmt: skip


@pytest.mark.parametrize(("hits", "n", "chance"), [(0, 10, 0.5), (7, 10, 0.5), (40, 100, 0.25), (9, 9, 1 / 3)])
def test_binomial_p_agrees_with_scipy(hits: int, n: int, chance: float) -> None:
    expected = scipy.stats.binomtest(hits, n, chance, alternative="greater").pvalue
    assert paired.binomial_log10_p(hits, n, chance) == pytest.approx(math.log10(expected), abs=1e-12)
    assert paired.binomial_log10_p(hits + 0.5, n + 1, chance) == paired.binomial_log10_p(hits, n + 1, chance)


def test_binomial_p_is_finite_where_doubles_underflow() -> None:
    assert paired.binomial_log10_p(10_000, 10_000, 0.1) == pytest.approx(-10_000.0, rel=1e-9)
    # Compared with exact integer arithmetic: sum of C(n, i) over 2^n.
    n, hits = 4_000, 3_900
    tail = sum(math.comb(n, i) for i in range(hits, n + 1))
    exact = (math.log(tail) - n * math.log(2)) / math.log(10)
    assert exact < -700
    assert paired.binomial_log10_p(hits, n, 0.5) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (20, 20), (500, 1000), (1, 1)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_agrees_with_scipy(hits: int, n: int, level: float) -> None:
    expected = scipy.stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    low, high = intervals.wilson(hits, n, level)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (low == 0, high == 1) == (hits == 0, hits == n)


def test_wilson_refuses_numbers_that_are_no_proportion() -> None:
    for hits, n in [(0, 0), (-1, 5), (6, 5)]:
        with pytest.raises(ValueError, match="no proportion"):
            intervals.wilson(hits, n)


def test_score_of_independent_texts_agrees_with_normal_theory() -> None:
    proba, truth = planted(2000, 4)
    result = metrics.score(proba, truth, np.arange(2000), seed=0)
    for name, values in {
        "accuracy": per_text.credits(proba, truth),
        "bits": per_text.bits(proba, truth),
        "log_loss": per_text.log_loss(proba, truth),
    }.items():
        half = 1.96 * values.std() / math.sqrt(2000)
        interval = result[name]
        assert interval.value == pytest.approx(values.mean())
        assert (interval.low, interval.high) == pytest.approx(
            (interval.value - half, interval.value + half), abs=half / 8
        )
        assert (interval.method, interval.units, interval.n_units) == ("bootstrap", "prompts", 2000)
    accuracy, normalised = result["accuracy"], result["identifiability"]
    assert normalised.low == pytest.approx((accuracy.low - 0.25) / 0.75)
    json.loads(canonical_json(result["macro_f1"]))


def test_macro_f1_interval_is_that_of_a_plain_bootstrap() -> None:
    proba, truth = planted(300, 3)
    prompts = np.arange(300) // 3
    interval = metrics.score(proba, truth, prompts, seed=0)["macro_f1"]
    rng, guess, resampled = np.random.default_rng(1), proba.argmax(1), []
    for _ in range(400):
        rows = (3 * rng.integers(100, size=100)[:, None] + np.arange(3)).ravel()
        resampled.append(sklearn.metrics.f1_score(truth[rows], guess[rows], average="macro"))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.015)


def test_texts_of_one_prompt_are_one_unit() -> None:
    """Ten copies of each text add no information: the clustered interval must not shrink."""
    proba, truth = planted(200, 2)
    once = metrics.score(proba, truth, np.arange(200), seed=0)["accuracy"]
    copied = metrics.score(*(np.repeat(a, 10, axis=0) for a in (proba, truth, np.arange(200))), seed=0)["accuracy"]
    assert once == copied
    shuffled = np.random.default_rng(0).permutation(200)
    assert metrics.score(proba[shuffled], truth[shuffled], shuffled, seed=0)["accuracy"] == once


def test_seeds_name_the_draws() -> None:
    proba, truth = planted(100, 2)
    first, again, other = (metrics.score(proba, truth, np.arange(100), seed=s) for s in (3, 3, 4))
    assert first == again
    assert first["bits"] != other["bits"]


def test_perfect_and_hopeless_attribution_get_wilson() -> None:
    truth = np.arange(100) % 2
    perfect = metrics.score(np.eye(2)[truth], truth, np.arange(100), seed=0)
    low, high = scipy.stats.binomtest(100, 100).proportion_ci(0.95, "wilson")
    accuracy = perfect["accuracy"]
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high))
    assert (accuracy.method, accuracy.units, accuracy.n_units) == ("wilson", "texts", 100)
    assert perfect["identifiability"].low == pytest.approx(2 * low - 1)
    assert perfect["identifiability"].method == "wilson"
    hopeless = metrics.score(np.eye(2)[1 - truth], truth, np.arange(100), seed=0)["accuracy"]
    assert (hopeless.value, hopeless.low, hopeless.method) == (0.0, 0.0, "wilson")
    # There are 25 prompts of four texts: only the prompts count.
    clustered = metrics.score(np.eye(2)[truth], truth, np.arange(100) // 4, seed=0)["accuracy"]
    assert (clustered.units, clustered.n_units, clustered.low) == ("prompts", 25, intervals.wilson(25, 25)[0])


def test_wilson_ends_where_ten_texts_miss() -> None:
    truth = np.zeros(200, dtype=int)
    for misses, method in [(9, "wilson"), (10, "bootstrap")]:
        guess = (np.arange(200) < misses).astype(int)
        assert metrics.score(np.eye(2)[guess], truth, np.arange(200), seed=0)["accuracy"].method == method


def test_one_prompt_has_no_interval() -> None:
    proba, truth = planted(20, 2)
    result = metrics.score(proba, truth, np.zeros(20, dtype=int), seed=0)
    assert result["bits"].low is None
    assert result["macro_f1"].method == result["accuracy"].method == "wilson"


def test_score_refuses_shapes_that_disagree() -> None:
    proba, truth = planted(4, 2)
    for bad in [(proba[:0], truth[:0], truth[:0]), (proba[:, :1], truth, truth), (proba, truth[:3], truth)]:
        with pytest.raises(ValueError, match="shapes that make no score"):
            metrics.score(*bad, seed=0)


def test_coverage_if_texts_of_a_prompt_share_its_difficulty() -> None:
    """A prompt's difficulty is drawn once for its 10 texts: intervals over texts are too narrow, over prompts not."""
    rng = np.random.default_rng(5)
    experiments, n_prompts, per_prompt, mean = 200, 40, 10, 0.6
    prompts = np.repeat(np.arange(n_prompts), per_prompt)
    clustered = naive = 0
    for _ in range(experiments):
        difficulty = rng.beta(3.0, 2.0, size=n_prompts)
        hits = (rng.random(len(prompts)) < difficulty[prompts]).astype(float)
        interval = intervals.mean_interval(hits, prompts, seed=0)
        clustered += interval.low <= mean <= interval.high
        low, high = intervals.wilson(float(hits.sum()), len(hits))
        naive += low <= mean <= high
    assert naive / experiments < 0.85
    assert 0.90 <= clustered / experiments <= 0.985


def test_mcnemar_agrees_with_the_binomial_test() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random((2, 120)) < [[0.7], [0.55]]).astype(float)
    better, worse = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    expected = scipy.stats.binomtest(better, better + worse, alternative="greater").pvalue
    assert paired.paired_p(a, b, np.arange(120), 0) == pytest.approx(expected)
    assert paired.paired_p(a, a, np.arange(120), 0) == 1.0


def test_sign_flips_agree_with_enumeration() -> None:
    """Eight prompts have 256 sign patterns; 10,000 flips must find their exact share."""
    rng = np.random.default_rng(2)
    prompts = np.repeat(np.arange(8), 3)
    a, b = rng.random((2, 24)).round(1)
    a += 0.15
    sums = np.bincount(prompts, a - b)
    signs = 1 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    exact = np.mean(signs @ sums >= sums.sum() - 1e-9)
    assert 0.005 < exact < 0.9
    error = math.sqrt(exact * (1 - exact) / paired.FLIPS)
    assert paired.paired_p(a, b, prompts, 0) == pytest.approx(exact, abs=4 * error + 1e-4)


def test_a_prompt_counts_once_in_a_paired_test() -> None:
    """A hundred texts of one prompt all favour a: one sign flip has two outcomes."""
    p = paired.paired_p(np.ones(100), np.zeros(100), np.zeros(100, dtype=int), 0)
    assert p == pytest.approx(0.5, abs=0.03)
    assert paired.paired_p(np.ones(100), np.zeros(100), np.repeat(np.arange(50), 2), 0) == 1 / 10_001


def test_sign_flip_p_values_are_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(3)
    prompts = np.repeat(np.arange(30), 2)
    p = [paired.paired_p(*(rng.random((2, 60)) < 0.5).astype(float), prompts, 0) for _ in range(150)]
    assert np.mean(np.array(p) <= 0.1) <= 0.1 + 4 * math.sqrt(0.09 / 150)
    assert np.mean(np.array(p) <= 0.5) >= 0.3


def test_holm_by_hand() -> None:
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]
    assert paired.holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p: list[float], level: float) -> None:
    order, rejected = np.argsort(p, kind="stable"), np.zeros(len(p), dtype=bool)
    for place, index in enumerate(order):
        if (len(p) - place) * p[index] > level:
            break
        rejected[index] = True
    assert [value <= level for value in paired.holm(p)] == rejected.tolist()


@pytest.mark.parametrize("per_prompt", [1, 2])
def test_ranks(per_prompt: int) -> None:
    rng = np.random.default_rng(0)
    difficulty, prompts = rng.random(600), np.repeat(np.arange(600 // per_prompt), per_prompt)
    results = {
        name: (difficulty + rng.normal(0, 0.05, 600) < share).astype(float)
        for name, share in {"worst": 0.3, "best": 0.8, "good": 0.6, "good too": 0.6}.items()
    }
    assert paired.ranks(results, prompts, seed=0) == {"worst": 4, "best": 1, "good": 2, "good too": 2}
    assert paired.ranks({"alone": results["best"]}, prompts, seed=0) == {"alone": 1}


def test_many_attributors_can_still_be_ranked() -> None:
    """With 30 attributors, a p-value of 1/10,001 would never pass over 870 pairs: more flips are needed."""
    prompts = np.repeat(np.arange(60), 2)
    results = {f"chance {i}": np.zeros(120) for i in range(29)} | {"best": np.ones(120)}
    ranks = paired.ranks(results, prompts, seed=0)
    assert ranks.pop("best") == 1
    assert set(ranks.values()) == {2}


def test_ratio_interval_weighs_units_by_their_size() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(50, 500, size=400).astype(float)
    total = size * 2.3 + rng.normal(0, 1, 400) * size * 0.4
    interval = intervals.ratio_interval(total, size, seed=0, units="documents")
    ratio = total.sum() / size.sum()
    half = 1.96 * math.sqrt(np.sum((total - ratio * size) ** 2)) / size.sum()
    assert interval.value == pytest.approx(ratio)
    assert (interval.low, interval.high) == pytest.approx((ratio - half, ratio + half), abs=half / 8)
    assert (interval.units, interval.n_units) == ("documents", 400)
    assert intervals.ratio_interval(total[:1], size[:1], 0, "documents").low is None
    constant = intervals.ratio_interval(size * 3, size, 0, "documents")
    assert constant.low == constant.high == constant.value == 3.0
    with pytest.raises(ValueError, match="positive denominator"):
        intervals.ratio_interval(total, size * 0, 0, "documents")


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_intervals_hold_their_values(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(k), size=n).round(1) + 1e-3  # rounding makes ties
    proba /= proba.sum(1, keepdims=True)
    result = metrics.score(proba, rng.integers(k, size=n), rng.integers(n, size=n), seed)
    for name in ("accuracy", "identifiability"):
        interval = result[name]
        if interval.low is not None and interval.high is not None:
            assert interval.low <= interval.value + 1e-12
            assert interval.value <= interval.high + 1e-12
    for interval in result.values():
        json.loads(canonical_json(interval))
