"""Identification on known sources: p-values are valid and posteriors calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from scipy.special import softmax

from natfp_bench.statistics import open_set, per_text
from natfp_bench.statistics.intervals import Floats, Ints
from natfp_bench.statistics.open_set import (
    Calibration,
    Held,
    Power,
    Seen,
    bundles,
    calibrating,
    outside_p,
    permutation_p,
)

CENTRES = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
PRIOR = np.full(3, 1 / 3)


def answers(x: Floats, *, trust: float = 1.0, shift: float = 0.0) -> Floats:
    """Bayes' posterior of points around CENTRES; trust: weight of the evidence; shift: error of the attributor."""
    squares = ((x[:, None] - CENTRES - shift) ** 2).sum(axis=2)
    return np.asarray(softmax(-trust * squares / 2, axis=1))


def seen(rng: np.random.Generator, label: Ints, **attributor: float) -> Seen:
    """Scores of texts of three sources, or of a fourth one far from the others (-1)."""
    centres = np.vstack([CENTRES, [1.5, 1.5]])
    x = centres[label] + rng.normal(size=(len(label), 2))
    return Seen(answers(x, **attributor), rng.normal(size=len(label)))


def held(rng: np.random.Generator, texts: int, *, foreign: int = 0, **attributor: float) -> Held:
    label = np.concatenate([np.repeat(np.arange(3), texts), np.full(foreign, -1)])
    prompts = np.concatenate([np.tile(np.arange(texts), 3), np.arange(foreign)])
    return Held.of(seen(rng, label, **attributor), label, label, prompts, PRIOR, 0)


def within(hits: int, n: int, share: float) -> bool:
    """Whether a count agrees with a share; by chance, it does not once in 10,000 times."""
    low, high = scipy.stats.binom.ppf([5e-5, 1 - 5e-5], n, share)
    return bool(low <= hits <= high)


# p-values.


def test_the_p_value_of_a_text_is_the_conformal_one() -> None:
    reference = np.array([4.0, 1.0, 3.0, 2.0])
    for score, reached in [(0.5, 4), (1.0, 4), (1.5, 3), (4.0, 1), (9.0, 0)]:
        (p,) = permutation_p(np.array([[score]]), reference, np.positive, 0)
        assert p == (reached + 1) / 5


@pytest.mark.parametrize(("size", "m"), [(1, 19), (3, 19), (30, 19)])
def test_p_values_are_uniform_if_texts_are_exchangeable(size: int, m: int) -> None:
    rng = np.random.default_rng(size)
    n = 2000
    draws = {"seed": 0, "draws": open_set.FEW_DRAWS}
    p = np.concatenate(
        [permutation_p(rng.normal(size=(1, size)), rng.normal(size=m), np.negative, **draws) for _ in range(n)]
    )
    for share in (0.05, 0.2, 0.5):
        assert within(int((p <= share + 1e-9).sum()), n, share)


def test_bundles_are_tested_by_the_permutation_test() -> None:
    rng = np.random.default_rng(0)
    given, reference = rng.normal(0.4, 1, size=6), rng.normal(size=40)
    (p,) = permutation_p(given[None], reference, np.positive, 0)

    def mean(x: Floats, y: Floats, axis: int) -> Floats:
        return np.asarray(x.mean(axis=axis))

    exact = scipy.stats.permutation_test(
        (given, reference), mean, vectorized=True, n_resamples=50_000, alternative="greater", rng=rng
    )
    assert p == pytest.approx(exact.pvalue, abs=0.015)


def test_a_bundle_of_the_held_out_texts_is_compared_with_the_rest() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    given = np.array([0, 4])
    inside = permutation_p(scores[given][:, None], scores, np.positive, 0, inside=True)
    apart = [permutation_p(scores[[i]][:, None], np.delete(scores, i), np.positive, 0)[0] for i in given]
    assert inside.tolist() == apart
    (pair,) = permutation_p(scores[given][None], scores, np.positive, 0, inside=True)
    (rest,) = permutation_p(scores[given][None], np.delete(scores, given), np.positive, 0)
    assert pair == pytest.approx(rest, abs=0.02)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("trust", [0.2, 3.0])
def test_known_sources_have_no_more_false_alarms_than_stated(size: int, trust: float) -> None:
    """This holds for any attributor, over repeated draws of held-out texts."""
    rng = np.random.default_rng(size)
    for label in range(3):
        n, doubted = 150, 0
        for _ in range(n):
            known = held(rng, 40, trust=trust, shift=0.5)
            asked = seen(rng, np.full(size, label), trust=trust, shift=0.5)
            (p,) = outside_p(known, asked, np.arange(size)[None], 0, draws=500)
            doubted += p <= 0.05
        assert doubted <= scipy.stats.binom.ppf(1 - 1e-4, n, 0.05)


def test_an_unknown_source_is_detected_and_the_power_is_measured() -> None:
    rng = np.random.default_rng(0)
    known = held(rng, 200, foreign=200)
    assert Power.of(known, 1, 0).auroc > 0.5
    power = Power.of(known, 25, 0)
    assert power.size == 25
    assert power.auroc > 0.8
    assert power.detected > 0.3
    assert power.false_alarms < 0.15
    # The p-values of other bundles agree.
    foreign = bundles(known.rows(-1, calibrate=False), 25, 60, "test")
    p = outside_p(known, known.seen, foreign, 0)
    assert (p < open_set.ALPHA).mean() == pytest.approx(power.detected, abs=0.2)
    # A bundle cannot have more than half of a class's texts for comparison.
    assert Power.of(known, 10_000, 0).size == 50


def test_an_unknown_source_of_unusual_texts_is_detected_by_familiarity_alone() -> None:
    rng = np.random.default_rng(0)
    known = held(rng, 600)
    for familiarity in (-6.0, 6.0):
        asked = Seen(known.seen.proba[:1], np.array([familiarity]))
        assert outside_p(known, asked, np.array([[0]]), 0)[0] < 0.05


def test_the_smallest_p_value_is_that_of_the_farthest_text() -> None:
    known = held(np.random.default_rng(0), 40)
    asked = Seen(np.array([[0.0, 0.0, 1.0]]), np.array([0.0]))
    far = replace(known, seen=Seen(np.tile([0.5, 0.5, 0.0], (120, 1)), np.zeros(120)))
    assert permutation_p(asked.proba[:, [2]], far.seen.proba[:20, 2], np.positive, 0)[0] == 1 / 21
    assert open_set.smallest_p(known, 1) == pytest.approx(1 / 21 / open_set.ANSWER_SHARE)
    assert open_set.smallest_p(known, 30) == pytest.approx(1 / 10_001 / open_set.ANSWER_SHARE)


def test_texts_of_one_prompt_are_compared_as_one() -> None:
    """Ten texts of each of twelve prompts: whatever the seed, six prompts calibrate and six texts compare."""
    label, prompts = np.repeat(np.arange(3), 120), np.tile(np.repeat(np.arange(12), 10), 3)
    for seed in range(5):
        known = Held.of(seen(np.random.default_rng(0), label), label, label, prompts, PRIOR, seed)
        for one in range(3):
            compared = known.rows(one, calibrate=False)
            assert len(compared) == len(set(prompts[compared])) == 6
            assert set(prompts[compared]).isdisjoint(prompts[known.rows(one, calibrate=True)])
            assert len(known.rows(one, calibrate=True)) == 60


def test_bundles_of_a_class_are_of_one_of_its_models() -> None:
    """A class of two models, each of which leans its own way: bundles of one are less certain than mixed ones."""
    rng, n = np.random.default_rng(0), 200
    label, source = np.repeat([0, 0, 1, 2], n), np.repeat(np.arange(4), n)
    x = CENTRES[label] + rng.normal(size=(4 * n, 2)) + np.array([[1.2, 0], [-1.2, 0], [0, 0], [0, 0]])[source]
    scores, prompts = Seen(answers(x), rng.normal(size=4 * n)), np.tile(np.arange(n), 4)
    known = Held.of(scores, label, source, prompts, PRIOR, 0)
    assert known.sources == [(0, 0), (1, 0), (2, 1), (3, 2)]
    for own, _ in known.sources:
        fresh = (
            CENTRES[label[own * n]] + rng.normal(size=(600, 2)) + np.array([[1.2, 0], [-1.2, 0], [0, 0], [0, 0]])[own]
        )
        asked = Seen(answers(fresh), rng.normal(size=600))
        p = outside_p(known, asked, np.arange(600).reshape(-1, 20), 0, draws=500)
        assert (p < 0.05).mean() <= 0.2, "of thirty bundles of one model, few are false alarms"


# Posteriors.


def test_pooling_is_bayes_rule() -> None:
    """Sum of log-probabilities minus (s - 1) log prior, for a prior that is not uniform."""
    prior = np.array([0.5, 0.3, 0.2])
    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    pooled = open_set.evidence(proba, prior).sum(axis=0, keepdims=True)
    expected = softmax(np.log(per_text.mixed(proba)).sum(axis=0) - 3 * np.log(prior))
    assert open_set.posterior(pooled, prior, 1.0)[0] == pytest.approx(expected)
    assert open_set.posterior(pooled, prior, 1e9)[0] == pytest.approx(prior)


@pytest.mark.parametrize("size", [1, 5])
def test_a_calibrated_attributor_gets_a_temperature_near_one(size: int) -> None:
    found = Calibration.of(held(np.random.default_rng(0), 4000), size, 0)
    assert found.fitted == size
    assert found.temperature == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("trust", [0.25, 2.0])
def test_over_and_underconfidence_are_corrected(trust: float) -> None:
    found = Calibration.of(held(np.random.default_rng(0), 4000, trust=trust), 1, 0)
    assert found.temperature == pytest.approx(trust, rel=0.15)


@pytest.mark.parametrize("size", [1, 12])
def test_the_posterior_of_fresh_texts_is_calibrated(size: int) -> None:
    """The attributor errs in the same direction on all texts; a sum of log-probabilities adds these errors up."""
    rng = np.random.default_rng(size)
    confidence, bayes, right = [], [], []
    for _ in range(40):
        attributor = {"trust": 2.0, "shift": float(rng.normal(0, 0.6))}
        by = Calibration.of(held(rng, 240, **attributor), size, 0)
        label = np.repeat(np.arange(3), 20)
        proba = seen(rng, np.repeat(label, size), **attributor).proba.reshape(len(label), size, 3)
        found = by.posterior(proba, PRIOR)
        pooled = open_set.evidence(proba.reshape(-1, 3), PRIOR).reshape(proba.shape).sum(axis=1)
        naive = open_set.posterior(pooled, PRIOR, 1.0)
        confidence += found.max(axis=1).tolist()
        bayes += naive.max(axis=1).tolist()
        right += (found.argmax(axis=1) == label).tolist()
    accuracy = np.mean(right)
    assert abs(np.mean(confidence) - accuracy) < 0.04
    assert np.mean(bayes) - accuracy > 0.05


def test_accuracy_of_bundles_is_that_of_fresh_bundles() -> None:
    rng = np.random.default_rng(0)
    found = Calibration.of(held(rng, 2000), 1, 0)
    label = np.repeat(np.arange(3), 2000)
    fresh = (seen(rng, label).proba.argmax(axis=1) == label).mean()
    assert found.accuracy == pytest.approx(fresh, abs=0.03)


def test_a_posterior_is_no_more_confident_than_its_bundles_justify() -> None:
    proba = np.repeat(np.eye(3), 20, axis=0)
    label = np.repeat(np.arange(3), 20)
    known = Held.of(Seen(proba, np.zeros(60)), label, label, np.tile(np.arange(20), 3), PRIOR, 0)
    for size, independent in ((1, 30), (5, 6), (10, 3)):
        by = Calibration.of(known, size, 0)
        assert by.accuracy == 1
        found = by.posterior(np.tile(proba[:1], (1, size, 1)), PRIOR)
        assert found[0, 0] == pytest.approx((independent + 1) / (independent + 2), abs=1e-3)
    # The evidence of a larger bundle counts as that of the texts that a class has for calibration.
    many = Calibration.of(known, 1000, 0)
    assert many.fitted == 10
    assert many.posterior(np.tile(proba[:1], (1, 1000, 1)), PRIOR) == pytest.approx(found, abs=1e-6)


# Bundles and halves.


def test_texts_of_a_bundle_are_distinct() -> None:
    rows = np.arange(100, 123)
    found = bundles(rows, 5, 10, "test")
    assert found.shape == (12, 5)
    assert set(found.ravel()) <= set(rows)
    assert all(len(set(bundle)) == 5 for bundle in found.tolist())
    assert len(set(found[:4].ravel().tolist())) == 20  # one round has no text twice
    assert bundles(rows, 1, 3, "test").tolist() == [[row] for row in rows]
    for size in (0, 24):
        with pytest.raises(ValueError, match="no bundles"):
            bundles(rows, size, 1, "test")


def test_halves_share_no_prompt() -> None:
    prompts = np.tile(np.arange(9), 4)
    half = calibrating(prompts, 0)
    assert half.sum() == 4 * 4
    assert not set(prompts[half]) & set(prompts[~half])
    assert (calibrating(prompts, 1) != half).any()
    assert calibrating(np.array([3, 7]), 0).sum() == 1
