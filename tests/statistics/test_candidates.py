"""Accuracy against the number of candidates, and its extrapolation, on planted classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from natfp_bench.statistics import candidates


def planted(classes: int, dimensions: int, noise: float, texts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts around random points: the probability of a class falls with the distance."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((classes, dimensions)) / np.sqrt(dimensions)
    truth = np.repeat(np.arange(classes), texts)
    at = centres[truth] + noise * draw.standard_normal((len(truth), dimensions))
    distance = ((at**2).sum(1)[:, None] - 2 * at @ centres.T + (centres**2).sum(1)[None]) / noise**2
    proba = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)))
    return proba / proba.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("rounded", [None, 1])
def test_accuracy_among_some_is_the_mean_over_all_sets_of_rivals(rounded: int | None) -> None:
    proba, truth = planted(6, 3, 0.4, 5, 0)
    proba = proba if rounded is None else np.round(proba, rounded)  # then there are ties, which share the credit
    beats = candidates.wins(proba, truth)
    assert (rounded is None) == (not (beats == 0.5).any())
    of = candidates.Beaten((beats == 1).sum(axis=1).astype(float), (beats == 0.5).sum(axis=1).astype(float), 5)
    for k in (2, 3, 5, 6):
        found = of.among(k)
        for text, own in enumerate(truth):
            credit = []
            for some in itertools.combinations([one for one in range(6) if one != own], k - 1):
                ties = int((beats[text, list(some)] == 0.5).sum())
                credit.append(0.0 if (beats[text, list(some)] == 0).any() else 1 / (ties + 1))
            assert found[text] == pytest.approx(np.mean(credit))


@pytest.mark.parametrize("law", [candidates.CandidateLaw(1.0, 0.5), candidates.CandidateLaw(2.0, 1.5)])
def test_a_planted_law_is_found(law: candidates.CandidateLaw) -> None:
    found = candidates.fit_law([(k, law.at(k)) for k in (2, 4, 8, 16, 32)])
    assert (found.mean, found.spread) == (pytest.approx(law.mean, abs=0.02), pytest.approx(law.spread, abs=0.02))
    assert law.at(2) == pytest.approx(0.5 * (1 + np.sign(law.mean)), abs=0.5)


@pytest.mark.parametrize("dimensions", [5, 20])
def test_the_extrapolation_covers_what_a_thousand_classes_show(dimensions: int) -> None:
    noise = {5: 0.3, 20: 0.4}[dimensions]
    proba, truth = planted(1000, dimensions, noise, 6, 1)
    real = float((proba.argmax(axis=1) == truth).mean())
    hits = sounds = 0
    for seed in range(6):
        some = np.random.default_rng(seed).choice(1000, 48, replace=False)
        mine = np.isin(truth, some)
        order = np.argsort(some)
        own = np.searchsorted(some[order], truth[mine])
        found = candidates.candidate_curve(candidates.wins(proba[mine][:, some[order]], own), own)
        if found.further:
            sounds += 1
            low, high = found.further[1].low or 0, found.further[1].high or 0
            hits += low <= real <= high
    assert sounds >= 4, "a sound law is extrapolated"
    assert hits >= sounds - 1


def test_the_last_point_is_the_accuracy_and_the_curve_falls() -> None:
    proba, truth = planted(32, 8, 0.4, 30, 3)
    found = candidates.candidate_curve(candidates.wins(proba, truth), truth)
    assert [k for k, _ in found.points] == [2, 4, 8, 16, 32]
    assert found.points[-1][1].value == pytest.approx(float((proba.argmax(axis=1) == truth).mean()))
    heights = [one.value for _, one in found.points]
    assert heights == sorted(heights, reverse=True)
    assert found.test.fitted == 16


def test_classes_that_come_in_twos_are_not_extrapolated() -> None:
    # Each class has a twin that is nearly the same, and every other one is left out of the fit: it sees no twin.
    proba, truth = planted(32, 8, 0.15, 30, 4)
    draw = np.random.default_rng(0)
    for twin in range(0, 32, 2):
        both = proba[:, twin] + proba[:, twin + 1]
        share = draw.random(len(both))
        proba[:, twin], proba[:, twin + 1] = both * share, both * (1 - share)
    found = candidates.candidate_curve(candidates.wins(proba, truth), truth)
    assert not found.test.sound
    assert found.further is None
