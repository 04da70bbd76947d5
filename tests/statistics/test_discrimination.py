"""Discrimination, compared with scikit-learn, scipy and planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from natfp_bench.statistics import discrimination, per_text
from natfp_bench.statistics.intervals import Interval


def planted(n: int, k: int, seed: int = 0, digits: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are higher for the truth on average; few digits make ties."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % k)
    logits = rng.normal(size=(n, k)) * 1.5
    logits[np.arange(n), truth] += 1.0
    proba = np.exp(logits)
    return (proba / proba.sum(1, keepdims=True)).round(digits), truth


def plugin_error(proba: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """The usual L2 calibration error, with numpy's own bins."""
    confidence, hit = proba.max(1), proba.argmax(1) == truth
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return math.sqrt(sum(len(p) * (confidence[p].mean() - hit[p].mean()) ** 2 for p in parts) / len(truth))


@pytest.mark.parametrize("digits", [12, 1], ids=["untied", "tied"])
@pytest.mark.parametrize("k", [3, 4, 7])
def test_auroc_is_scikit_learns_one_versus_one(k: int, digits: int) -> None:
    proba, truth = planted(211, k, digits=digits)
    proba = proba + 0.01  # rows of zeros have no sum
    proba /= proba.sum(1, keepdims=True)
    expected = sklearn.metrics.roc_auc_score(truth, proba, multi_class="ovo", average="macro")
    assert discrimination.pairwise_auroc(proba, truth) == pytest.approx(expected, abs=1e-12)


def test_auroc_of_two_classes_is_the_ordinary_one() -> None:
    proba, truth = planted(120, 2)
    expected = sklearn.metrics.roc_auc_score(truth, proba[:, 1])
    assert discrimination.pairwise_auroc(proba, truth) == pytest.approx(expected)
    u = scipy.stats.mannwhitneyu(proba[truth == 1, 1], proba[truth == 0, 1]).statistic
    assert expected == pytest.approx(u / np.prod(np.bincount(truth)))


@pytest.mark.parametrize("k", [2, 3, 7])
def test_auroc_of_a_constant_answer_is_exactly_one_half(k: int) -> None:
    assert discrimination.pairwise_auroc(np.full((50, k), 1 / k), np.arange(50) % k) == 0.5
    truth = np.arange(50) % k
    assert discrimination.pairwise_auroc(np.eye(k)[truth], truth) == 1.0


def test_auroc_ignores_the_scale_of_a_column_and_the_balance_of_classes() -> None:
    proba, truth = planted(300, 3)
    kept = np.flatnonzero((truth != 2) | (np.arange(300) % 5 == 0))
    stretched = proba**3 * [1.0, 0.1, 5.0]
    assert discrimination.pairwise_auroc(stretched, truth) == discrimination.pairwise_auroc(proba, truth)
    thinned = discrimination.pairwise_auroc(proba[kept], truth[kept])
    assert thinned == pytest.approx(discrimination.pairwise_auroc(proba, truth), abs=0.05)


def test_auroc_needs_every_class() -> None:
    proba, truth = planted(30, 3)
    with pytest.raises(ValueError, match="class 2 has no texts"):
        discrimination.pairwise_auroc(proba, np.minimum(truth, 1))


def calibrated(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, and truths that are drawn from them."""
    proba = rng.dirichlet([1.0, 1.0, 1.0], size=n)
    truth = (rng.random((n, 1)) > proba.cumsum(1)).sum(1)
    return proba, truth


def test_calibration_error_of_calibrated_answers_is_noise_around_zero() -> None:
    """Squared errors average to 0; the plain estimate is biased upwards by the noise of each bin."""
    rng = np.random.default_rng(0)
    plain, debiased = [], []
    for _ in range(300):
        proba, truth = calibrated(400, rng)
        plain.append(plugin_error(proba, truth))
        found = discrimination.calibration_error(proba, truth)
        debiased.append(found)
    expected = math.sqrt(15 * 0.22 / 400)  # fifteen gaps of variance y (1 - y) / (400 / 15), y (1 - y) about 0.22
    assert np.mean(plain) == pytest.approx(expected, rel=0.1)
    # The root of the positive part keeps about half of the noise around zero.
    assert np.mean(debiased) < 0.45 * np.mean(plain)
    assert 0.35 < np.mean(np.array(debiased) == 0.0) < 0.65


def test_calibration_error_recovers_a_planted_error() -> None:
    """If confidence exceeds the hit rate by a constant, that is the L2 error; the plain estimate is biased."""
    rng = np.random.default_rng(1)
    for off in (0.05, 0.1, 0.2):
        plain, debiased = [], []
        for _ in range(200):
            confidence = rng.uniform(0.75, 1.0, size=600)
            truth = (rng.random(600) > confidence - off).astype(int)
            proba = np.column_stack([confidence, 1 - confidence])
            found = discrimination.calibration_error(proba, truth)
            debiased.append(found**2)
            plain.append(plugin_error(proba, truth) ** 2)
        error = np.std(debiased) / math.sqrt(200)
        assert abs(np.mean(debiased) - off**2) < 4 * error + 2e-4  # the root's positive part lifts the smallest
        assert np.mean(plain) - off**2 > 0.002


def test_calibration_error_follows_the_formula_of_the_paper() -> None:
    """Sum over bins of share * (gap^2 - y (1 - y) / (n_b - 1)), by hand on fifteen bins of twenty."""
    proba, truth = planted(300, 3, seed=4)
    confidence, hit = proba.max(1), (proba.argmax(1) == truth).astype(float)
    total = 0.0
    for part in np.argsort(confidence).reshape(15, 20):
        y = hit[part].mean()
        total += ((confidence[part].mean() - y) ** 2 - y * (1 - y) / 19) / 15
    assert total > 0
    assert discrimination.calibration_error(proba, truth) == pytest.approx(math.sqrt(total))


def test_calibration_does_not_depend_on_the_order_of_rows() -> None:
    """Texts come sorted by variant: if bins separated equal confidences, each would have texts of one class."""
    truth = np.repeat([0, 1], 300)
    same = np.tile([0.5 + 1e-9, 0.5 - 1e-9], (600, 1))
    assert plugin_error(same, truth) > 0.4
    assert discrimination.calibration_error(same, truth) == 0.0
    proba, truth = planted(400, 3, digits=1)
    order = np.random.default_rng(0).permutation(400)
    found = discrimination.calibration_error(proba, truth)
    assert found == pytest.approx(discrimination.calibration_error(proba[order], truth[order]))


def test_calibration_error_at_its_extremes() -> None:
    truth = np.arange(60) % 3
    assert discrimination.calibration_error(np.full((60, 3), 1 / 3), truth) == 0.0
    assert discrimination.calibration_error(np.eye(3)[truth], truth) == 0.0
    assert discrimination.calibration_error(np.eye(3)[(truth + 1) % 3], truth) == 1.0
    assert discrimination.calibration_error(np.eye(3)[truth][:29], truth[:29]) is None
    alone = np.array([[0.8, 0.2]] * 59 + [[0.9, 0.1]])  # one text in a bin of its own says nothing of noise
    found = discrimination.calibration_error(alone, np.zeros(60, dtype=int))
    assert found == pytest.approx(0.2 * math.sqrt(59 / 60))


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("digits", [12, 1], ids=["untied", "tied"])
def test_tpr_is_that_of_scikit_learns_curve(fpr: float, digits: int) -> None:
    for n, k in [(1450, 3), (1000, 2), (500, 5)]:
        proba, truth = planted(n, k, digits=digits)
        genuine = np.eye(k)[truth].ravel()
        false, true, _ = sklearn.metrics.roc_curve(genuine, proba.ravel(), drop_intermediate=False)
        assert discrimination.tpr_at_fpr(proba, truth, fpr) == pytest.approx(true[false <= fpr].max())


def test_tpr_at_its_extremes() -> None:
    truth = np.arange(1000) % 2
    assert discrimination.tpr_at_fpr(np.eye(2)[truth], truth) == 1.0
    assert discrimination.tpr_at_fpr(np.eye(2)[1 - truth], truth) == 0.0
    assert discrimination.tpr_at_fpr(np.full((1000, 2), 0.5), truth) == 0.0  # all or none, so none
    assert discrimination.tpr_at_fpr(np.eye(2)[truth][:999], truth[:999]) is None
    for fpr in (-0.1, 1.0):
        with pytest.raises(ValueError, match="false-positive rate"):
            discrimination.tpr_at_fpr(np.eye(2)[truth], truth, fpr)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_level_error_is_the_mean_distance(k: int) -> None:
    proba, truth = planted(150, k)
    expected = np.abs(proba.argmax(1) - truth).mean()
    assert discrimination.level_error(proba, truth) == pytest.approx(expected)
    balanced = np.arange(10 * k) % k
    coin = discrimination.level_error(np.full((10 * k, k), 1 / k), balanced)
    assert coin == pytest.approx((k * k - 1) / (3 * k))
    assert discrimination.level_error(np.eye(k)[balanced], balanced) == 0.0


def test_an_adjacent_level_is_a_smaller_error_than_a_distant_one() -> None:
    truth = np.array([0, 0])
    assert discrimination.level_error(np.eye(4)[[1, 1]], truth) == 1.0
    assert discrimination.level_error(np.eye(4)[[3, 3]], truth) == 3.0
    assert discrimination.level_error(np.array([[0.5, 0.0, 0.5]]), np.array([0])) == 1.0


def test_kendall_tau_by_counting_pairs() -> None:
    proba, truth = planted(60, 4, digits=2)
    expected = proba @ np.arange(4)
    concordant = discordant = tied_guess = tied_truth = 0
    for i in range(60):
        for j in range(i):
            guess, level = round(expected[i] - expected[j], 9), truth[i] - truth[j]
            concordant += guess * level > 0
            discordant += guess * level < 0
            tied_guess += guess == 0
            tied_truth += level == 0
    pairs = 60 * 59 / 2
    tau = (concordant - discordant) / math.sqrt((pairs - tied_guess) * (pairs - tied_truth))
    assert tied_guess > 0
    assert discrimination.kendall_tau(proba, truth) == pytest.approx(tau)


def test_kendall_tau_at_its_extremes() -> None:
    truth = np.arange(40) % 4
    assert discrimination.kendall_tau(np.eye(4)[truth], truth) == pytest.approx(1.0)
    assert discrimination.kendall_tau(np.eye(4)[3 - truth], truth) == pytest.approx(-1.0)
    rows = np.random.default_rng(0).dirichlet(np.ones(4))
    assert discrimination.kendall_tau(np.tile(rows, (40, 1)), truth) is None
    assert discrimination.kendall_tau(np.eye(4)[truth], np.zeros(40, dtype=int)) is None


def interval(value: float, low: float | None) -> Interval:
    high = None if low is None else 2 * value - low
    return Interval(value=value, low=low, high=high, method="bootstrap", units="prompts", n_units=9)


def test_extraction_needs_a_ceiling_above_zero() -> None:
    own = interval(0.3, 0.2)
    assert discrimination.extraction(own, interval(1.2, 1.1)) == pytest.approx(0.25)
    assert discrimination.extraction(interval(-0.3, -0.4), interval(1.2, 1.1)) == pytest.approx(-0.25)
    for low in (0.05, -0.1, None):
        assert discrimination.extraction(own, interval(0.1, low)) is None


def test_credits_are_shared_in_calibration() -> None:
    """Two classes are identical and share each guess: it is right half the time, as its probability says."""
    rng = np.random.default_rng(0)
    proba = np.tile([0.5, 0.5], (400, 1))
    truth = rng.integers(2, size=400)
    assert per_text.credits(proba, truth).tolist() == [0.5] * 400
    assert discrimination.calibration_error(proba, truth) == 0.0
